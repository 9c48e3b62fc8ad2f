"""Ray Tune is told twice of one dead worker, on a real Ray: sweep and search try again at once."""

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
from raylot.sweep.space import study_spaces
from raylot.sweep.sweep import Sweep
from raylot.trials import tune_internals

_TINY = {"hidden": "6", "tasks": 3, "epochs": 1, "save_interval": 0, "max_concurrent": 1}


@pytest.fixture(scope="module", autouse=True)
def _ray_runs() -> Iterator[None]:
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


class _ToldTwice:
    """A scheduler that kills the first trial's worker, and tells Tune of it once more than once."""

    has_killed = has_told = False

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> Any:
        if controller and not self.has_killed:
            type(self).has_killed = True
            os.kill(result["pid"], signal.SIGKILL)
        return super().on_trial_result(controller, trial, result)  # type: ignore[misc]

    def on_trial_add(self, controller: Any, trial: Any) -> None:
        super().on_trial_add(controller, trial)  # type: ignore[misc]
        if controller and trial.run_metadata.num_failures and not self.has_told:
            type(self).has_told = True  # the trial waits for another worker now
            controller._process_trial_failure(trial, ray.exceptions.RayActorError())


def test_a_sweep_computes_the_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Told(_ToldTwice, tune_internals.KeepsActors):
        pass

    monkeypatch.setattr(tune_internals, "KeepsActors", Told)
    study = Study.checked(**_TINY, snapshots="0", tickets=1, probe_tasks=0, seeds=[0])
    outcome = Sweep(study, Storage(tmp_path), *study_spaces(study)).run()
    assert Told.has_told
    assert (outcome.missing, outcome.failures, outcome.lost) == (0, [], [])


def test_a_search_tries_the_setting_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Told(_ToldTwice, tuning.Halving):
        pass

    monkeypatch.setattr(tuning, "Halving", Told)
    asked = SettingsSearch.checked(
        **_TINY, snapshots="0", interventions="none", choosing_seeds="0", seeds="1-2", trials=3,
        search="lr=loguniform(1e-4,1e-1)",
    )  # fmt: skip
    choosing = Choosing(asked, Storage(tmp_path), {}, {})
    outcome = choosing.run()
    assert Told.has_told
    assert list(outcome.lost) == []
    ended = [one.status for one in choosing.standings() if one.has_ended]
    assert len(ended) == 3
    assert "failed" not in ended
    told = capsys.readouterr().err
    assert "up too soon; it is tried again" in told
    assert "1 failed" not in told
