"""Writes docs/tables.md from the columns' declarations: ``python -m tests.support.tables_page``."""

from __future__ import annotations

import math

from raylot.config.options import accepted
from raylot.results.columns import COLUMNS, IDENTITY, Column
from tests.support.docs import ROOT

PAGE = ROOT / "docs" / "tables.md"

_ROWS = {
    "runs": "finished run",
    "tasks": "task of a stream, or of a ticket's own stream",
    "plasticity": "snapshot, layer and metric",
    "probes": "snapshot or fresh network, and probe task",
    "barriers": "pair of copies or tickets of a snapshot",
    "mask_distances": "copy of a snapshot, sparsity, epoch and what its mask is compared with",
    "tickets": "snapshot, sparsity, ticket or control, and round",
    "overlaps": "snapshot, sparsity, pair of masks and layer",
    "plastic_parameters": "snapshot, sparsity, selection of tickets and layer",
    "snapshots": "snapshot and sparsity",
}

_BEGINNING = """# Every column of every table

[Results](results.md) says how to read the tables. `python -m tests.support.tables_page` writes
this page from `raylot/results/columns.py`; a test compares the two. Every analysis reports and
leaves out a row with a value outside its range. Losses may be infinite where a training diverged.

## What all tables begin with

These columns say whose a row is. A parameter that a run does not use is null.
"""


def page() -> str:
    """Returns the text of docs/tables.md."""
    parts = [_BEGINNING, _lines(IDENTITY)]
    for table, columns in COLUMNS.items():
        own = {name: column for name, column in columns.items() if name not in IDENTITY}
        parts.append(f"## `{table}`\n\nOne row per {_ROWS[table]}.\n")
        parts.append(_lines({name: column for name, column in own.items() if not column.option}))
        if options := {name: column for name, column in own.items() if column.option}:
            parts.append("The others are all options; those that a run does not use are null.\n")
            parts.append(_lines(options))
    return "\n".join(parts).rstrip() + "\n"


def _lines(columns: dict[str, Column]) -> str:
    lines = ["| column | type | holds | range |", "|---|---|---|---|"]
    for name, column in columns.items():
        meaning = column.meaning.replace("|", "\\|")
        lines.append(f"| `{name}` | {_type(column)} | {meaning} | {_range(column)} |")
    return "\n".join(lines) + "\n"


def _type(column: Column) -> str:
    names = {"string": "text", "double": "number", "int64": "whole number", "bool": "true or false"}
    return names.get(str(column.type), "time")


def _range(column: Column) -> str:
    if column.option is not None:
        return accepted(column.option).replace("|", "\\|")
    if column.low is None or column.high is None:
        return ""
    if column.low == -math.inf:
        return f"up to {column.high:,g}"
    if column.high in (math.inf, 2**63, 1_000_000, 2_000_000):
        return f"from {column.low:,g}"
    return f"{column.low:,g} to {column.high:,g}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
