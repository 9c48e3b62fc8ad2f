"""A kept worker is dead when Tune gives it to the next trial: nothing is given up for that."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from raylot.config import Study
from raylot.config.settings_search import SettingsSearch
from raylot.storage import Storage
from raylot.sweep import tuning
from raylot.sweep.choosing import Choosing
from raylot.sweep.execution import Execution
from raylot.sweep.space import study_spaces
from raylot.sweep.sweep import Sweep
from raylot.trials import tune_internals

_TINY = {"hidden": "6", "tasks": 3, "snapshots": "0", "epochs": 1, "max_concurrent": 1}


@pytest.fixture(scope="module", autouse=True)
def _ray_runs() -> Iterator[None]:
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


class _Kills:
    """A scheduler that kills the first worker whose trial ends; Tune keeps it for the next one."""

    killed = 0

    def on_trial_complete(self, controller: Any, trial: Any, result: dict[str, Any]) -> None:
        super().on_trial_complete(controller, trial, result)  # type: ignore[misc]
        if not self.killed:
            type(self).killed = result["pid"]
            os.kill(result["pid"], signal.SIGKILL)


def test_a_sweep_gives_no_run_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Kills(_Kills, tune_internals.KeepsActors):
        pass

    given_up: list[str] = []
    give_up = Execution._give_up

    def seen(self: Execution, *arguments: Any) -> Any:
        given_up.append(str(arguments))
        return give_up(self, *arguments)

    monkeypatch.setattr(Execution, "_give_up", seen)
    monkeypatch.setattr(tune_internals, "KeepsActors", Kills)
    # One loss is allowed, and two reports of it must not count as two.
    study = Study.checked(**_TINY, tickets=1, probe_tasks=0, seeds=[0, 1, 2], max_failures=1)
    outcome = Sweep(study, Storage(tmp_path), *study_spaces(study)).run()
    assert Kills.killed
    assert (outcome.missing, outcome.failures, list(outcome.lost)) == (0, [], [])
    assert given_up == []


def test_a_search_loses_no_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Kills(_Kills, tuning.Halving):
        pass

    drawn: list[float] = []
    suggest = tuning.Searcher.suggest

    def seen(self: tuning.Searcher, trial_id: str) -> Any:
        suggested = suggest(self, trial_id)
        assert suggested is not None
        drawn.append(suggested["options"]["lr"])
        return suggested

    monkeypatch.setattr(tuning.Searcher, "suggest", seen)
    monkeypatch.setattr(tuning, "Halving", Kills)
    asked = SettingsSearch.checked(
        **_TINY, interventions="none", choosing_seeds="0", seeds="1-2", trials=3, max_failures=1,
        search="lr=loguniform(1e-4,1e-1)",
    )  # fmt: skip
    choosing = Choosing(asked, Storage(tmp_path), {}, {})
    outcome = choosing.run()
    assert Kills.killed
    assert list(outcome.lost) == []
    ended = [one for one in choosing.standings() if one.has_ended]
    assert sorted(one.setting.options["lr"] for one in ended) == sorted(drawn)
    assert len(drawn) == 3
    assert "lost its worker; another continues" in capsys.readouterr().err
