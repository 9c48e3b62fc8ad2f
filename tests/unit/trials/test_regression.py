"""A regression data set through a stream, probe tasks, measures, tickets and a ticket stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from raylot import results
from raylot.foundation.names import PERFORMANCE
from tests.unit.trials.runs import run_all


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    """Two targets that depend on six numbers."""
    draws = np.random.default_rng(0)
    x = draws.normal(size=(300, 6)).astype(np.float32)
    y = np.stack([np.abs(x).sum(1), x[:, 0]], axis=1)
    path = tmp_path / "regression.npz"
    np.savez(path, x_train=x[:200], y_train=y[:200], x_test=x[200:], y_test=y[200:])
    return path


def test_every_run_has_losses_and_no_accuracies(tmp_path: Path, npz: Path) -> None:
    options = {"dataset": "npz", "data_file": npz, "shift": "permuted_pixels", "batch_size": 20}
    run_all(tmp_path, "ticket", **options, random_masks=3, ntk_examples=4, sharpness_iterations=2)
    runs = results.read(tmp_path, "runs")
    assert set(runs["status"]) == {"finished"}
    assert runs["notes"].isna().all()
    assert set(runs["engine_used"].dropna()) == {"fast"}
    for table in ("tasks", "probes", "tickets"):
        rows = results.read(tmp_path, table)
        assert rows["test_loss"].between(0.001, 1000).all()
        own = [name for name in PERFORMANCE if name in rows]
        assert rows[own].isna().all(axis=None)
    assert not set(PERFORMANCE) & set(results.read(tmp_path, "plasticity")["metric"])
    (snapshot,) = results.read(tmp_path, "snapshots").to_dict("records")
    tickets = results.read(tmp_path, "tickets")
    last = tickets[(tickets["control"] == "ticket") & (tickets["round"] == 2)]
    assert snapshot["ticket_loss"] == pytest.approx(last["test_loss"].mean())
    assert np.isnan(snapshot["ticket_accuracy"])
    random = tickets.loc[tickets["control"] == "random", "test_loss"]
    dense = tickets.loc[tickets["control"] == "dense", "test_loss"].mean()
    wins = [loss <= 1.01 * dense and loss < random.min() for loss in last["test_loss"]]
    assert snapshot["winning_tickets"] <= sum(wins)
    assert last["wins"].notna().all()
