"""Searches that have grown stand beside others: all get the same verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from raylot import results
from raylot.analysis.tables import tables
from raylot.analysis.tables.verdicts import judged_alike, of_usual_number
from raylot.storage import Storage
from raylot.trials.stream import StreamTrial
from raylot.trials.tickets import TicketsTrial
from tests.unit.trials.runs import finish, trial_config

_FEW = {"tickets": 2, "rewired_masks": 1, "tolerance": 0.2}
_MANY = {"tickets": 4, "rewired_masks": 1, "tolerance": 0.0}


def _search(root: Path, seed: int, **options: Any) -> None:
    """A stream, and one search on it."""
    for trial, place in ((StreamTrial, {}), (TicketsTrial, {"task": 2})):
        finish(trial(trial_config(root, seed=seed, **place, **options)))


def _judged(root: Path) -> pd.DataFrame:
    return judged_alike(Storage(root), results.read(root, "snapshots"), results.read(root, "runs"))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two searches with few tickets, and one with many."""
    root = tmp_path_factory.mktemp("mixed")
    for seed, options in enumerate((_FEW, _MANY, _FEW)):
        _search(root, seed, **options)
    return root


def test_all_are_judged_alike(
    mixed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tables.report_once.cache_clear()
    _search(tmp_path, 1, **_FEW)
    stored = results.read(mixed, "snapshots").set_index("run_id")
    found = _judged(mixed).set_index("run_id")
    (expected,) = _judged(tmp_path).to_dict("records")
    run_id = expected.pop("run_id")
    assert stored.loc[run_id, "tickets"] == 4
    assert found.loc[run_id].to_dict() == pytest.approx(expected, nan_ok=True, abs=0)
    pd.testing.assert_frame_equal(found.drop(index=run_id), stored.drop(index=run_id))
    assert (
        "searches differ in tickets, random_masks, tolerance; all are judged with tickets=2, "
        "random_masks=2, tolerance=0.2"
    ) in caplog.text


def test_alike_ones_are_left_as_they_are(tmp_path: Path) -> None:
    for seed in range(2):
        _search(tmp_path, seed, **_MANY)
    found = _judged(tmp_path)
    pd.testing.assert_frame_equal(found, results.read(tmp_path, "snapshots"))


def test_plastic_parameters_of_other_numbers_of_tickets_are_left_out(mixed: Path) -> None:
    assert set(results.read(mixed, "plastic_parameters")["tickets"]) == {2, 4}
    found = of_usual_number(results.read(mixed, "plastic_parameters"))
    assert set(found["tickets"]) == {2}
    assert found["run_id"].nunique() == 2
