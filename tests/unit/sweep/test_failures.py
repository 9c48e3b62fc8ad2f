"""Runs that fail and workers that die, on a real Ray cluster: what is given up, what goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from raylot import plugins, results
from raylot.config import Study
from raylot.config.settings_search import SettingsSearch
from raylot.storage import Storage
from raylot.sweep import tuning
from raylot.sweep.choosing import Choosing
from raylot.sweep.execution import Execution
from raylot.sweep.space import study_spaces
from raylot.sweep.sweep import Sweep
from raylot.trials import tune_internals
from raylot.trials.kinds import TRIALS
from raylot.trials.stream import StreamTrial
from raylot.trials.tickets import TicketsTrial
from raylot.trials.trainable import AnyTrial
from tests.support import oldest
from tests.support.tables import assert_same_tables
from tests.unit.sweep.sweeps import computed_here, sweep_of

_TINIEST = {"hidden": "6", "tasks": 3, "snapshots": "0", "epochs": 1, "max_concurrent": 1}


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """One Ray for all tests here: a sweep uses a session that is open already."""
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def _killed_on(run_id: str) -> type[TicketsTrial]:
    """A trial whose worker the kernel kills whenever it comes to one run, as for its memory."""

    class Killed(TicketsTrial):
        def step(self) -> dict[str, Any]:
            if self.run.run_id == run_id:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().step()

    Killed.__name__ = TicketsTrial.__name__
    return Killed


def test_a_failed_run_is_recorded_the_rest_goes_on_and_it_can_be_retried(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, [0], [0.5])
    computed_here(sweep, 0, 1, 2, 3)
    failed = sweep.stages[3].runs[1]
    (row,) = results.read_run(sweep.storage, "runs", failed.run_id) or []
    error = "RuntimeError: out of memory"
    results.write(
        sweep.storage, "runs", failed.run_id, [{**row, "status": "failed", "error": error}]
    )
    outcome = sweep.run()
    assert (outcome.finished, outcome.missing, outcome.interrupted) == (1 + 4 + 1, 0, False)
    assert outcome.failures == [
        f"tickets seed=0 permuted_pixels task=2 sparsity=0.5 ({failed.run_id}): {error}"
    ]
    assert "failed: tickets seed=0" in outcome.summary()
    assert not (tmp_path / "tune").exists(), "a failed run is not tried again unasked"
    again = sweep.run(retry_failed=True)
    assert (again.finished, again.failures) == (1 + 4 + 2, [])


def test_a_run_whose_worker_dies_again_and_again_is_recorded_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = sweep_of(tmp_path, [0, 1], [0.5], max_failures=1)
    computed_here(sweep, 0, 1)
    deadly = sweep.stages[3].runs[0]
    monkeypatch.setitem(TRIALS, "tickets", _killed_on(deadly.run_id))
    sweep = sweep_of(tmp_path, [0, 1], [0.5], max_failures=1)
    outcome = sweep.run()
    assert (outcome.finished, outcome.missing) == (2 + 8 + 3, 0)
    (failure,) = outcome.failures
    assert failure.startswith(f"{deadly.label} ({deadly.run_id}): its worker was lost too often: ")
    monkeypatch.undo()
    again = sweep_of(tmp_path, [0, 1], [0.5]).run(retry_failed=True)
    assert (again.finished, again.failures) == (2 + 8 + 4, [])


def test_a_worker_that_dies_in_a_bundle_costs_the_run_under_way_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And Tune keeps no ended trials, and a bundle leaves one file in its folder."""
    monkeypatch.setattr("raylot.sweep.bundles.MANY", 8)
    kept: list[int] = []
    forget = tune_internals._forget_ended

    def counted(controller: Any) -> None:
        forget(controller)
        kept.append(len(controller._trials))

    monkeypatch.setattr("raylot.trials.tune_internals._forget_ended", counted)
    sweep = sweep_of(tmp_path, list(range(5)), [0.5], max_failures=0, probe_tasks=0)
    computed_here(sweep, 0)
    runs = sweep.stages[2].runs
    monkeypatch.setitem(TRIALS, "tickets", _killed_on(runs[5].run_id))
    outcome = sweep.run()
    assert (outcome.finished, outcome.missing) == (5 + 15 + 9, 0)
    (failure,) = outcome.failures
    assert failure.startswith(f"{runs[5].label} ({runs[5].run_id}): its worker was lost too often")
    folders = [path for path in tmp_path.glob("tune/*/*") if path.is_dir()]
    bundles = [path for path in folders if "_runs_" in path.name]
    assert bundles
    assert {file.name for path in bundles for file in path.iterdir()} <= {
        "result.json", "error.txt", "error.pkl"
    }  # fmt: skip
    assert max(kept) < len(kept) / 2


def test_a_sweep_stops_when_so_many_runs_have_failed(tmp_path: Path) -> None:
    plugins.forget()
    file = tmp_path / "broken.py"
    file.write_text(
        "from raylot import plugins\n"
        "@plugins.shift('broken')\n"
        "def broken(dataset, options, key, t):\n"
        "    if t == 1:\n"
        "        raise ValueError('no second task')\n"
        "    return dataset\n"
    )
    plugins.load(file)
    options: dict[str, Any] = {"shifts": "broken", "probe_tasks": 0}
    outcome = sweep_of(tmp_path / "root", [0, 1, 2, 3], [0.5], fail_fast=2, **options).run()
    assert len(outcome.failures) == 2
    assert list(outcome.lost) == ["the rest, as 2 runs failed (--fail-fast 2)"]
    runs = results.read(tmp_path / "root", "runs")
    assert sorted(runs["status"]) == ["failed", "failed"], "no other run has begun"
    assert outcome.missing > 2
    again = sweep_of(tmp_path / "root", [0, 1, 2, 3], [0.5], **options).run()
    assert len(again.failures) == 4, "the same command without it computes the rest"
    plugins.forget()


def test_what_an_intervention_remembers_survives_a_lost_worker_and_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins.forget()
    oldest.load(tmp_path)
    options: dict[str, Any] = {
        "interventions": "oldest", "ticket_tasks": 1, "tickets": 1, "random_masks": 0,
        "untrained_masks": 0, "subnetworks": "ticket", "stream_snapshots": "2",
    }  # fmt: skip
    wider = {**options, "tasks": 5, "snapshots": "0,1,2,4", "ticket_tasks": 3}
    lost = tmp_path / "lost"

    class LostOnce(StreamTrial):
        """Its worker is lost as the third task begins, on its first attempt."""

        def step(self) -> dict[str, Any]:
            if self.state.steps == 2 and not lost.exists():
                lost.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().step()

    LostOnce.__name__ = StreamTrial.__name__
    computed_here(once := sweep_of(tmp_path / "once", [0], [0.5], **wider), 0, 1, 2, 3, 4, 5)
    assert once.finished()
    monkeypatch.setitem(TRIALS, "stream", LostOnce)
    assert not (outcome := sweep_of(tmp_path / "grown", [0], [0.5], **options).run()).failures
    assert lost.exists()
    assert outcome.missing == 0
    monkeypatch.undo()
    assert sweep_of(tmp_path / "grown", [0], [0.5], **wider).run().missing == 0
    assert_same_tables(tmp_path / "once", tmp_path / "grown")
    plugins.forget()


class _Kills:
    """A scheduler that kills the first worker whose trial ends; Tune keeps it for the next one."""

    killed = 0

    def on_trial_complete(self, controller: Any, trial: Any, result: dict[str, Any]) -> None:
        super().on_trial_complete(controller, trial, result)  # type: ignore[misc]
        if not self.killed:
            type(self).killed = result["pid"]
            os.kill(result["pid"], signal.SIGKILL)


def _three_seeds_lose_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One loss is allowed, is told, must not count as two, and gives no run up."""
    given_up: list[str] = []
    give_up = Execution._give_up

    def seen(self: Execution, *arguments: Any) -> Any:
        given_up.append(str(arguments))
        return give_up(self, *arguments)

    monkeypatch.setattr(Execution, "_give_up", seen)
    study = Study.checked(**_TINIEST, tickets=1, probe_tasks=0, seeds=[0, 1, 2], max_failures=1)
    outcome = Sweep(study, Storage(root), *study_spaces(study)).run()
    assert (outcome.missing, outcome.failures, list(outcome.lost)) == (0, [], [])
    assert given_up == []
    assert "lost its worker; another continues" in capsys.readouterr().err


def test_no_run_is_given_up_when_a_worker_dies_between_two_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Kills(_Kills, tune_internals.KeepsActors):
        pass

    monkeypatch.setattr(tune_internals, "KeepsActors", Kills)
    _three_seeds_lose_nothing(tmp_path, monkeypatch, capsys)
    assert Kills.killed


def test_no_run_is_given_up_when_a_worker_fails_between_two_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = tmp_path / "failed"

    class FailsOnce(AnyTrial):
        def reset(self, *arguments: Any, **options: Any) -> Any:
            if not failed.exists():
                failed.touch()
                raise MemoryError
            return super().reset(*arguments, **options)

    monkeypatch.setattr("raylot.sweep.experiment.AnyTrial", FailsOnce)
    _three_seeds_lose_nothing(tmp_path / "root", monkeypatch, capsys)
    assert failed.exists()


def test_no_setting_is_lost_when_a_worker_dies_between_two_trials(
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
        **_TINIEST, interventions="none", choosing_seeds="0", seeds="1-2", trials=3, max_failures=1,
        search="lr=loguniform(1e-4,1e-1)",
    )  # fmt: skip
    choosing = Choosing(asked, Storage(tmp_path), {}, {})
    outcome = choosing.run()
    assert Kills.killed
    assert list(outcome.lost) == []
    ended = [one for one in choosing.standings() if one.has_ended]
    assert sorted(one.setting.options["lr"] for one in ended) == sorted(drawn)
    assert len(drawn) == 3
    told = capsys.readouterr().err
    assert "settings of none: 0 of 3 runs finished" in told
    assert "lost its worker; another continues" in told
