"""Searches that have grown stand beside others: all get the same verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from raylot import results
from raylot.analysis.tables import tables
from raylot.analysis.tables.judged_alike import judged_alike, of_usual_number
from raylot.analysis.tables.observations import observe
from raylot.storage import Storage
from raylot.trials.stream import StreamTrial
from raylot.trials.tickets import TicketsTrial
from tests.unit.trials.runs import finish, trial_config

_FEW = {"tickets": 2, "random_masks": 3, "rewired_masks": 1, "tolerance": 0.2}
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


def test_all_are_judged_alike(mixed: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Counts are those to be expected among two of the four tickets; means are over all four."""
    tables.report_once.cache_clear()
    stored = results.read(mixed, "snapshots").set_index("run_id")
    (run_id,) = stored.index[stored["tickets"] == 4]
    found = _judged(mixed).set_index("run_id")
    pairs = results.read(mixed, "overlaps").query("run_id == @run_id and layer == 'all'")
    jaccards = pairs.loc[pairs["compared_with"] == "ticket", "jaccard"].to_numpy()
    assert len(jaccards) == 6
    high, low = (1 + jaccards) / 2, (1 - jaccards) / 2  # eigenvalues of two tickets
    counts = np.exp(-sum(x * np.log(np.where(x > 0, x, 1)) for x in (high, low)))
    assert found.loc[run_id, "ticket_count"] == pytest.approx(counts.mean())
    assert found.loc[run_id, "tickets"] == 2
    assert found.loc[run_id, "tolerance"] == 0.2
    for name in ("overlap_mean", "ticket_accuracy", "dense_accuracy", "overlap_matched"):
        assert found.loc[run_id, name] == pytest.approx(stored.loc[run_id, name])
    random = results.read(mixed, "tickets").query("run_id == @run_id and control == 'random'")
    first = random.sort_values("ticket")["test_accuracy"].head(3)
    assert found.loc[run_id, "random_accuracy"] == pytest.approx(first.mean())
    others = found.drop(index=run_id), stored.drop(index=run_id)
    pd.testing.assert_frame_equal(*others, check_dtype=False)
    assert (
        "searches differ in tickets, random_masks, tolerance; all are judged with tickets=2, "
        "random_masks=3, tolerance=0.2"
    ) in caplog.text


def test_alike_ones_are_left_as_they_are(tmp_path: Path) -> None:
    for seed in range(2):
        _search(tmp_path, seed, **_MANY)
    found = _judged(tmp_path)
    pd.testing.assert_frame_equal(found, results.read(tmp_path, "snapshots"))


def test_a_search_with_too_few_random_masks_does_not_stop_others_from_being_judged(
    tmp_path: Path,
) -> None:
    _search(tmp_path, 0, tickets=2, random_masks=2)
    _search(tmp_path, 1, tickets=2, random_masks=4)
    _search(tmp_path, 2, tickets=2, random_masks=3)
    found = _judged(tmp_path).set_index("seed")["winning_tickets"]
    assert found.isna().to_dict() == {0: True, 1: False, 2: False}


def test_what_could_not_be_judged_anywhere_is_no_measure(tmp_path: Path) -> None:
    _search(tmp_path, 0, tickets=2, random_masks=2)
    observed = observe(Storage(tmp_path))
    assert "winning_tickets" not in observed.tickets
    assert "ticket_count" in observed.tickets


def test_plastic_parameters_of_other_numbers_of_tickets_are_left_out(mixed: Path) -> None:
    assert set(results.read(mixed, "plastic_parameters")["tickets"]) == {2, 4}
    found = of_usual_number(results.read(mixed, "plastic_parameters"))
    assert set(found["tickets"]) == {2}
    assert found["run_id"].nunique() == 2
