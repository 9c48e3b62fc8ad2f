"""Planning a sweep: what it says meanwhile, and how much is too much."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from raylot.config import Study
from raylot.foundation.errors import OptionError
from raylot.storage import Storage
from raylot.sweep import study_spaces
from raylot.sweep import sweep as sweep_module
from raylot.sweep.sweep import Sweep


def _sweep(root: Path, **options: Any) -> Sweep:
    study = Study.checked(tasks=31, snapshots="0-:10", **options)
    return Sweep(study, Storage(root), *study_spaces(study))


@pytest.mark.parametrize("number", [sweep_module._LONG - 1, sweep_module._LONG])
def test_long_planning_shows_how_far_it_has_come(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    said = io.StringIO()
    console = Console(file=said, force_terminal=True)
    monkeypatch.setattr(sweep_module, "Console", lambda **told: console)
    assert list(sweep_module._with_progress("streams", iter(range(number)), number)) == [
        *range(number)
    ]
    assert ("planning streams" in said.getvalue()) == (number == sweep_module._LONG)


def test_more_runs_than_a_sweep_can_hold_are_refused_before_they_are_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Study, "stream_run", None)  # nobody may ask for a run
    sweep = _sweep(tmp_path, seeds="0-99999", sparsities="0.5", rounds=1)
    with pytest.raises(OptionError) as told:
        _ = sweep.stages
    # 100,000 seeds under two shifts, each measured, and with four snapshots
    assert str(told.value) == (
        "1,200,000 runs or more: must be at most 200,000 in one sweep; search fewer values of "
        "seed, shift, intervention, task, sparsity, subnetwork"
    )


def test_values_that_are_not_used_do_not_count(tmp_path: Path) -> None:
    """Of 2 shifts with 5 interventions and 4 parameters of 5 values each, 6,250 points."""
    values = ",".join(f"0.{digit}" for digit in range(1, 6))
    search = [f"{name}={values}" for name in ("l2_strength", "shrink", "perturb", "redo_threshold")]
    interventions = "none,l2,l2_init,shrink_and_perturb,redo"
    sweep = _sweep(tmp_path, seeds="0", interventions=interventions, search=" ".join(search))
    streams = 2 * (1 + 5 + 5 + 5 * 5 + 5)
    assert [len(stage.runs) for stage in sweep.stages] == [
        streams,
        streams,
        streams * 5,
        streams * 4 * 2,
    ]
    assert sweep.plan().splitlines()[1].split()[:4] == ["streams", "82", "0", "82"]


def test_ticket_streams_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # 2 streams, each with a run of probe tasks and 5 measurements, and 4 snapshots at 2 sparsities;
    # 4 networks of each at the highest sparsity, with 5 measurements of each
    monkeypatch.setattr(sweep_module, "MOST_RUNS", 2 + 12 + 16 + 6 * 32)
    options = {"seeds": "0", "ticket_tasks": 1, "stream_sparsities": "highest"}
    stages = _sweep(tmp_path, **options).stages
    # each of 8 dense networks is one run
    assert [len(stage.runs) for stage in stages] == [2, 2, 10, 16, 32, 5 * 32]
    monkeypatch.setattr(sweep_module, "MOST_RUNS", 2 + 12 + 16 + 6 * 32 - 1)
    with pytest.raises(OptionError, match=r"^222 runs or more: must be at most 221 in one sweep"):
        _ = _sweep(tmp_path, **options).stages


def test_a_planned_run_takes_little_memory(tmp_path: Path) -> None:
    """A driver keeps all of them; a set of its own of the options given would double each."""
    sweep = _sweep(tmp_path, seeds="0-9", shifts="stationary", sparsities="0.5")
    tracemalloc.start()
    try:
        runs = sum(len(stage.runs) for stage in sweep.stages)
        memory, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert runs >= 90
    assert memory / runs < 8000
