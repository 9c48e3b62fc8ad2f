"""Comparing the tables of two storages, cell by cell."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from raylot import results

#: Columns of `runs` that say when and how fast, not what.
TIMES = ["seconds", "training_seconds", "plasticity_seconds", "started"]

#: Tables without rows where no pairs of trainings are asked for.
OF_PAIRS = ("barriers", "mask_distances")


def read_sorted(root: Path | str, table: str) -> pd.DataFrame:
    """A table in an order that does not depend on when its runs ended."""
    frame = results.read(root, table)
    frame = frame.drop(columns=[column for column in TIMES if table == "runs"])
    return frame.sort_values(list(frame.columns), ignore_index=True)


def assert_same_tables(one: Path | str, other: Path | str, *, pairs: bool = False) -> None:
    """All tables are equal, bit for bit, but for times; with ``pairs``, `OF_PAIRS` have rows."""
    for table in results.SCHEMAS:
        expected, found = read_sorted(one, table), read_sorted(other, table)
        if pairs or table not in OF_PAIRS:
            assert len(expected), f"nothing to compare in {table}"
        pd.testing.assert_frame_equal(expected, found, check_exact=True)
