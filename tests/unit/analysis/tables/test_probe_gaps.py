"""How far snapshots are behind a fresh network on probe tasks, as the analysis sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from raylot.analysis.tables.observations import observe, probe_gaps
from raylot.config import Study
from raylot.storage import Storage
from tests.unit.analysis.studies import falling, write_rows, write_study


def _row(task: int | None, p: int, accuracy: float, shift: str = "rotation") -> dict[str, Any]:
    return {
        "stream_run_id": "stream", "task": task, "trained": "snapshot" if task is not None else
        "fresh", "probe_shift": shift, "probe_task": p, "online_accuracy": accuracy,
        "learning_speed": accuracy - 0.1, "test_accuracy": accuracy + 0.02,
        "final_train_loss": 1 - accuracy,
    }  # fmt: skip


_ROWS = [
    _row(None, 0, 0.9), _row(None, 1, 0.8), _row(0, 0, 0.9), _row(0, 1, 0.8), _row(10, 0, 0.7),
    _row(10, 1, 0.7),
]  # fmt: skip


def test_a_gap_is_positive_where_plasticity_was_lost_and_paired_by_task() -> None:
    gaps = probe_gaps(pd.DataFrame(_ROWS)).set_index("task")
    assert list(gaps.index) == [0, 10]
    for name in ("probe_online_gap", "probe_speed_gap", "probe_test_gap", "probe_loss_gap"):
        assert gaps[name].tolist() == pytest.approx([0, (0.2 + 0.1) / 2]), name
    # without the fresh network's row of a probe task, that task does not count
    gaps = probe_gaps(pd.DataFrame(_ROWS[1:])).set_index("task")
    assert gaps["probe_online_gap"].tolist() == pytest.approx([0, 0.1])


def test_a_snapshot_whose_training_diverged_has_lost_all() -> None:
    rows = pd.DataFrame(_ROWS)
    rows.loc[rows["task"] == 10, "online_accuracy"] = float("nan")
    assert probe_gaps(rows).set_index("task")["probe_online_gap"].tolist() == [0, float("inf")]
    # of a fresh network that diverged nothing can be said
    rows = pd.DataFrame(_ROWS)
    rows.loc[rows["trained"] == "fresh", "online_accuracy"] = float("nan")
    assert probe_gaps(rows)["probe_online_gap"].isna().all()


def test_probe_tasks_of_several_shifts_are_measures_of_their_own() -> None:
    others = [_row(None, 0, 0.5, "noise"), _row(10, 0, 0.1, "noise")]
    gaps = probe_gaps(pd.DataFrame([*_ROWS, *others])).set_index("task").sort_index()
    assert gaps["probe_online_gap(probe_shift=rotation)"].tolist() == pytest.approx([0, 0.15])
    assert gaps["probe_online_gap(probe_shift=noise)"][10] == pytest.approx(0.4)
    assert pd.isna(gaps["probe_online_gap(probe_shift=noise)"][0])


def test_they_stand_beside_the_tickets_of_their_snapshot(tmp_path: Path) -> None:
    write_study(tmp_path, falling, seeds=[0], tasks=[0, 10])
    study = Study.checked(tasks=11, snapshots="0,10", rounds=3)
    stream = study.stream_run(shift="permuted_pixels", seed=0)
    (run,) = study.probe_runs(stream)
    write_rows(tmp_path, "probes", run, [{**row, "stream_run_id": stream.run_id} for row in _ROWS])
    observed = observe(Storage(tmp_path))
    assert observed.measures[0] == "probe_online_gap"
    assert observed.frame["probe_online_gap"].tolist() == pytest.approx([0, 0.15])
