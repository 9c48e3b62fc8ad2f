"""Barriers between two trainings from one snapshot, as the analysis sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from raylot.analysis.tables.barriers import snapshot_barriers
from raylot.analysis.tables.observations import observe
from raylot.config import Study
from raylot.storage import Storage
from tests.unit.analysis.studies import falling, finish, write_rows, write_study


def _row(task: int, pair: int, error: float, run_id: str = "a", **of: Any) -> dict[str, Any]:
    own = {"test_error_barrier": error, "test_loss_barrier": 2 * error}
    return {"run_id": run_id, "stream_run_id": "stream", "task": task, "trained": "snapshot",
            "pair": pair, **own, **of}  # fmt: skip


_RUNS = pd.DataFrame({"run_id": ["a", "c"], "barrier_points": [30.0, 10.0]})


def test_a_snapshots_barrier_is_the_mean_over_its_pairs() -> None:
    rows = [_row(0, 0, 0.1), _row(0, 1, 0.3), _row(10, 0, 0.0), _row(0, 0, 0.9, trained="ticket")]
    found = snapshot_barriers(pd.DataFrame(rows), _RUNS).set_index("task")
    assert found["test_error_barrier"].to_dict() == pytest.approx({0: 0.2, 10: 0.0})
    assert found["test_loss_barrier"].to_dict() == pytest.approx({0: 0.4, 10: 0.0})


def test_each_number_of_points_has_a_column() -> None:
    rows = [_row(0, 0, 0.2), _row(0, 0, 0.1, "c"), _row(10, 0, 0.4)]
    found = snapshot_barriers(pd.DataFrame(rows), _RUNS).set_index("task")
    assert found["test_error_barrier(barrier_points=30)"].to_dict() == {0: 0.2, 10: 0.4}
    assert found["test_error_barrier(barrier_points=10)"].tolist()[0] == 0.1
    assert pd.isna(found["test_error_barrier(barrier_points=10)"].tolist()[1])


def test_barriers_are_a_measure_that_is_correlated(tmp_path: Path) -> None:
    root = write_study(tmp_path, falling, seeds=range(2), tasks=(0, 10))
    assert "test_error_barrier" not in observe(Storage(root)).measures
    study = Study.checked(tasks=11, snapshots="0,10", rounds=3, retraining_pairs=1)
    for seed in range(2):
        (run,) = study.retraining_runs(study.stream_run(seed=seed, shift="permuted_pixels"))
        finish(root, run)
        rows = [_row(t, 0, 0.01 * (t + seed), run.run_id) for t in (0, 10)]
        rows = [{**row, "stream_run_id": run.stream.run_id} for row in rows]
        write_rows(root, "barriers", run, rows)
    found = observe(Storage(root))
    assert {"test_error_barrier", "test_loss_barrier"} <= {*found.measures}
    by_place = found.frame.set_index(["seed", "task"])["test_error_barrier"]
    assert by_place[1, 10] == pytest.approx(0.11)
