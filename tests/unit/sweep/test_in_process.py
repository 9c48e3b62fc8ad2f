"""Sweeps without Ray: through failures and interruptions to the tables that they have anyway."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from raylot import results
from raylot.config import Study
from raylot.results import files
from raylot.results.integrity import inspect
from raylot.storage import OutOfReachError, Storage
from raylot.sweep import study_spaces
from raylot.sweep.sweep import Sweep
from raylot.trials.kinds import TRIALS
from raylot.trials.stream import StreamTrial
from tests.support.tables import assert_same_tables

_TINY: Mapping[str, Any] = {
    "hidden": "4", "tasks": 3, "snapshots": "2", "epochs": 1, "batch_size": 512, "lr": 0.01,
    "tickets": 2, "rounds": 1, "random_masks": 1, "rewired_masks": 0, "reinit_tickets": 0,
    "untrained_masks": 0, "sparsities": "0.5", "probe_size": 20, "ntk_examples": 0,
    "sharpness_iterations": 0, "save_interval": 0, "probe_tasks": 1,
    "shifts": "permuted_pixels", "seeds": "0", "engine": "generic",
}  # fmt: skip


def _sweep(root: Path, **options: Any) -> Sweep:
    study = Study.checked(**{**_TINY, "local": True, **options})
    return Sweep(study, Storage(root), *study_spaces(study))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("undisturbed")
    assert _sweep(root).run().missing == 0
    return root


def _disturbed(monkeypatch: pytest.MonkeyPatch, what: Any, times: int) -> list[int]:
    """Lets something happen in the second step of a stream, so often; returns when it did."""
    happened: list[int] = []

    class Disturbed(StreamTrial):
        def advance(self) -> dict[str, float]:
            if self.state.steps == 1 and len(happened) < times:
                happened.append(self.state.steps)
                what()
            return super().advance()

    monkeypatch.setitem(TRIALS, "stream", Disturbed)
    return happened


def _away() -> None:
    raise OutOfReachError("the storage is away")


def test_a_run_whose_storage_is_away_goes_on_from_its_last_save(
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    happened = _disturbed(monkeypatch, _away, times=2)
    outcome = _sweep(tmp_path, max_failures=2).run()
    assert happened == [1, 1]
    assert (outcome.missing, outcome.failures) == (0, [])
    assert_same_tables(undisturbed, tmp_path)
    said = capsys.readouterr()
    told = "stream seed=0 permuted_pixels: the storage is away; it continues from the last save"
    assert said.err.count(told) == 2
    assert said.out == "", "what trials log is hidden"


def test_tables_are_gathered_while_it_runs(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raylot.sweep.gathering.AT_ONCE", 2)
    assert _sweep(tmp_path).run().missing == 0
    assert_same_tables(undisturbed, tmp_path)
    storage = Storage(tmp_path)
    kinds = results.read(storage, "runs").set_index("run_id")["kind"]
    left = files.small_runs(storage, "runs")
    assert len(left) < 2, "the others were gathered"
    assert len(kinds) == 6
    assert inspect(storage, artifacts=True).damages == []
    # What has been gathered grows.
    assert _sweep(tmp_path, tasks=4, snapshots="2,3").run().missing == 0
    whole = tmp_path / "whole"
    assert _sweep(whole, tasks=4, snapshots="2,3").run().missing == 0
    assert_same_tables(whole, tmp_path)


def test_an_interrupted_sweep_stays_in_charge_until_its_gathering_has_stopped(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A next sweep may start at once, as in a notebook, whose process goes on."""
    monkeypatch.setattr("raylot.sweep.gathering.AT_ONCE", 2)
    monkeypatch.setattr("raylot.results.compaction._UNCHECKED", 1)
    delete, happened = Storage.delete_file, list[str]()

    def slow(storage: Storage, path: str) -> None:
        if threading.current_thread().name == "gathering":
            if not happened:
                os.kill(os.getpid(), signal.SIGINT)
            happened.append(path)
            time.sleep(0.3)
            happened.append("deleted")
        elif path.startswith("drivers/"):
            happened.append("not in charge any more")
        delete(storage, path)

    with monkeypatch.context() as slowed:
        slowed.setattr(Storage, "delete_file", slow)
        outcome = _sweep(tmp_path).run()
    assert outcome.interrupted
    assert happened[1:] == ["deleted", "not in charge any more"]
    assert _sweep(tmp_path).run().missing == 0
    assert_same_tables(undisturbed, tmp_path)


def test_but_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    happened = _disturbed(monkeypatch, _away, times=9)
    outcome = _sweep(tmp_path, max_failures=1).run()
    assert len(happened) == 2
    assert outcome.lost == ["stream seed=0 permuted_pixels: the storage is away"]
    assert not outcome.finished


def test_ctrl_c_ends_it_and_the_same_sweep_goes_on(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _disturbed(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGINT), times=1)
    outcome = _sweep(tmp_path).run()
    assert (outcome.interrupted, outcome.finished) == (True, 0)
    assert len(results.read(tmp_path, "tasks")) == 1, "the first task was saved"
    assert _sweep(tmp_path).run().missing == 0
    assert_same_tables(undisturbed, tmp_path)


def test_it_stops_once_too_many_runs_have_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: StreamTrial) -> dict[str, float]:
        raise ValueError("no such weights")

    monkeypatch.setattr(StreamTrial, "advance", failing)
    outcome = _sweep(tmp_path, seeds="0-2", fail_fast=2).run()
    assert len(outcome.failures) == 2
    assert outcome.lost == ["the rest, as 2 runs failed (--fail-fast 2)"]


@pytest.mark.parametrize(
    ("options", "has_workers"),
    [
        ({}, False),
        ({"address": "local"}, True),
        ({"logger": "mlflow"}, True),
        ({"gpus_per_trial": 1}, True),
        ({"seeds": "0-1"}, True),
        ({"seeds": "0-1", "local": True}, False),
    ],
)
def test_workers_are_started_where_two_runs_can_be_trained_at_once(
    options: dict[str, Any], has_workers: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    sweep = _sweep(tmp_path, **{"local": False, **options})
    assert sweep._needs_no_workers({}) is not has_workers


def test_ray_is_not_even_imported(tmp_path: Path) -> None:
    options = {**_TINY, "tasks": 1, "snapshots": "0"}
    code = f"""
import sys, raylot
raylot.run(raylot.Study(**{options}), {str(tmp_path)!r})
print("ray" in sys.modules)
"""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.splitlines()[-1] == "False", done.stdout
    assert set(results.read(tmp_path, "runs")["kind"]) == {
        "stream",
        "probes",
        "measurement",
        "tickets",
    }
