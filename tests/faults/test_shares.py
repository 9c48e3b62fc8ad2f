"""Four commands that compute a study together, two of which are killed and started again."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from raylot import results
from raylot.storage.lease import FOLDER
from tests.faults.processes import RUNS, Driver, kill
from tests.support.tables import assert_same_tables

_STUDY = ("--seeds", "0-3", "--local")


@pytest.mark.slow
def test_four_shares_through_kills_equal_one_sweep(tmp_path: Path) -> None:
    """A smaller one without kills: tests/unit/sweep/test_shares.py."""
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    with contextlib.ExitStack() as families:
        one = families.enter_context(Driver(whole, *_STUDY))
        shares = {
            number: families.enter_context(Driver(shared, *_STUDY, "--share", f"{number}/4"))
            for number in range(1, 5)
        }
        for number in (2, 3):
            share = shares[number]
            share.wait_until(lambda: len(list((shared / "state").glob("*"))) > 1)
            assert kill(share.process.pid)
            share.process.wait()
            again = Driver(shared, *_STUDY, "--share", f"{number}/4")
            shares[number] = families.enter_context(again)
        one.finishes(2 * RUNS)
        for share in shares.values():
            share.finishes(2 * RUNS // 4)
    assert_same_tables(whole, shared)
    assert len(results.read(shared, "runs")) == 2 * RUNS
    assert not list((shared / FOLDER).iterdir())
