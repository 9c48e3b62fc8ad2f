"""Planning a sweep: what it says meanwhile, and how much is too much."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raylot.config import Study
from raylot.foundation.errors import OptionError
from raylot.storage import Storage
from raylot.sweep import study_spaces
from raylot.sweep import sweep as sweep_module
from raylot.sweep.sweep import Sweep


def _sweep(root: Path, **options: Any) -> Sweep:
    study = Study.checked(tasks=31, snapshots="0-:10", **options)
    return Sweep(study, Storage(root), *study_spaces(study))


def test_long_planning_says_how_far_it_has_come(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a clock that goes a second with every run: at 2 s, and then every 10 s."""
    seconds = iter(range(1000))
    monkeypatch.setattr(sweep_module.time, "monotonic", lambda: float(next(seconds)))
    told = sweep_module._Planning()
    assert list(told.counted("streams", [7, 8, 9], 3)) == [7, 8, 9]
    assert list(told.counted("tickets", iter(range(15)), 15)) == list(range(15))
    said = capsys.readouterr()
    assert said.out == ""
    # the second stream is asked for at 2 s, the tickets from 5 s on
    assert said.err.splitlines() == [
        "planning: 1 of 3 streams",
        "planning: 8 of 15 tickets",
    ]


def test_short_planning_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(_sweep(tmp_path, seeds="0").stages) == 2
    assert capsys.readouterr().err == ""


def test_more_runs_than_a_sweep_can_hold_are_refused_before_they_are_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Study, "stream_run", None)  # nobody may ask for a run
    sweep = _sweep(tmp_path, seeds="0-99999", sparsities="0.5", rounds=1)
    with pytest.raises(OptionError) as told:
        _ = sweep.stages
    # 100,000 seeds under two shifts, each with four snapshots
    assert str(told.value) == (
        "1,000,000 runs or more: must be at most 200,000 in one sweep; search fewer values of "
        "seed, shift, intervention, task, sparsity, subnetwork"
    )


def test_ticket_streams_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # 2 streams, 4 snapshots of each at 2 sparsities; 4 networks of each at the highest sparsity
    monkeypatch.setattr(sweep_module, "MOST_RUNS", 2 + 16 + 32)
    options = {"seeds": "0", "ticket_tasks": 1, "stream_sparsities": "highest"}
    stages = _sweep(tmp_path, **options).stages
    # each of 8 dense networks is one run
    assert [len(stage.runs) for stage in stages] == [2, 16, 32]
    monkeypatch.setattr(sweep_module, "MOST_RUNS", 2 + 16 + 31)
    with pytest.raises(OptionError, match=r"^50 runs or more: must be at most 49 in one sweep"):
        _ = _sweep(tmp_path, **options).stages
