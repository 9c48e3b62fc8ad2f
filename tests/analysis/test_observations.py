"""What a snapshot is paired with, and what is left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from observations import observe

from raylot import results
from raylot.storage import Storage


def at(shift: str, seed: int, task: int, sparsity: float) -> dict[str, float]:
    return {
        "ticket_count": 2.0, "test_accuracy": 0.9 - task / 100 + seed / 1000,
        "ticket_accuracy": 0.8, "dense_accuracy": 0.85, "random_accuracy": 0.5,
        "trainability_gap": 0.1,
    }  # fmt: skip


def test_differences_of_accuracies(tmp_path: Path, write_study: Callable[..., Path]) -> None:
    found = observe(Storage(write_study(tmp_path, at, seeds=(0,), tasks=(0, 10))))
    assert found.frame["ticket_advantage"].to_list() == pytest.approx([-0.05, -0.05])
    assert found.frame["advantage_over_random"].to_list() == pytest.approx([0.3, 0.3])
    assert found.tickets == [
        "ticket_count", "ticket_accuracy", "ticket_advantage", "advantage_over_random"
    ]  # fmt: skip


def _streams(root: Path) -> dict[str, int]:
    tasks = results.read(root, "tasks")
    return dict(zip(tasks["run_id"], tasks["seed"], strict=True))


def test_previous_pairs_with_the_task_before(
    tmp_path: Path, write_study: Callable[..., Path]
) -> None:
    """Each stream's task t - 1, to the last digit; rows of ticket streams say something else."""
    write_study(tmp_path, at, seeds=(0, 1), tasks=(0, 1, 10))
    storage = Storage(tmp_path)
    tasks = results.read(tmp_path, "tasks").set_index(["run_id", "task"])["test_accuracy"]
    for run_id, seed in _streams(tmp_path).items():
        own = results.read_run(storage, "tasks", run_id) or []
        ticket_stream = [
            {**row, "run_id": f"ticket{seed}", "stream_run_id": run_id, "snapshot": 0,
             "test_accuracy": 0.123} for row in own
        ]  # fmt: skip
        results.write(storage, "tasks", f"ticket{seed}", ticket_stream)
        # a run_id of its own keeps it apart; so must its snapshot, should a run write both
        results.write(storage, "tasks", run_id, own + [{**r, "run_id": run_id} for r in
                                                       ticket_stream])  # fmt: skip
    same, previous = observe(storage), observe(storage, "previous")
    assert len(same.frame) == len(previous.frame) == 6
    for row in same.frame.to_dict("records"):
        expected = at("", row["seed"], row["task"], 0.8)["test_accuracy"]
        assert row["test_accuracy"] == pytest.approx(expected)
    for row in previous.frame.to_dict("records"):
        if row["task"] == 0:
            assert np.isnan(row["test_accuracy"])
        else:
            assert row["test_accuracy"] == tasks[row["stream_run_id"], row["task"] - 1]
    assert "trainability_gap" in same.measures
    assert "trainability_gap" not in previous.measures
    columns = list(same.frame)
    assert list(previous.frame) == columns
