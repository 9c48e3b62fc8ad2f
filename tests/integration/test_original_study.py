"""The tables of the original study that docs/ keeps give the figures that its page prints."""

from __future__ import annotations

import re

import pandas as pd

from raylot.analysis.reproduction import reproduce
from raylot.analysis.tables.original import original_rows
from raylot.storage import Storage
from tests.support import docs

_TABLES = docs.ROOT / "docs" / "original_study"


def test_the_page_prints_what_the_tables_give() -> None:
    found = reproduce(original_rows(Storage(_TABLES)))
    judged = found[found["within"].notna()]
    printed = re.findall(
        r"^\| .*\| (\d+) \| ([\d.]+)[^|]*\| ([\d.]+) \| ([\d.]+) to ([\d.]+) \| (yes|no) \|$",
        docs.text("docs/original_study.md"),
        re.MULTILINE,
    )
    given = [
        (
            str(row["task"]),
            *(f"{row[name]:.3f}" for name in ("published", "here", "low", "high")),
            "yes" if row["within"] else "no",
        )
        for row in judged.to_dict("records")
    ]
    assert printed == given
    assert len(given) >= 11


def test_the_tables_are_small_and_whole() -> None:
    files = [path for path in (_TABLES / "tables").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 1_000_000
    runs = pd.read_parquet(_TABLES / "tables" / "runs")
    assert set(runs["status"]) == {"finished"}
    snapshots = pd.read_parquet(_TABLES / "tables" / "snapshots")
    assert set(snapshots["run_id"]) <= set(runs["run_id"])
