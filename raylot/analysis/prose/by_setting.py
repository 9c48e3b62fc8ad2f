"""The results by what was searched: a row per value or draw, with seeds as replicates."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Any

from rich.table import Table

from raylot.analysis.doses.trajectories import dose_order
from raylot.analysis.output import plain_table
from raylot.analysis.primary import Findings
from raylot.analysis.tables.observations import Setting
from raylot.analysis.words import figure, without_zeros
from raylot.config.doses import NOT_GIVEN, with_value

TITLE = "By what was searched"

#: Width of a change with its interval below it.
_FIGURE = 14

#: The column of interventions with their doses.
_INTERVENTION = "intervention"

#: Width of the column that many options share, if a line of it is as long.
_SHARED = 28

#: So many options have columns of their own in 80 characters; if there are more, they share one.
_MOST_COLUMNS = 3


def by_setting(settings: Sequence[Setting], found: Sequence[Findings]) -> Table | None:
    """Tables how far plasticity and tickets changed in each setting, a line per stream and search.

    Lines are sorted by the values of the options in which the settings differ: numbers and doses
    by size. More than three options share one column, which names them once for all streams.

    Args:
        settings: of a storage.
        found: about the primary pair in each of them.

    Returns:
        None if settings differ in nothing that can be searched: in no option, and no dose of an
        intervention; or if no setting has the primary pair.
    """
    searched = list(dict.fromkeys(name for setting in settings for name in setting.own))
    doses = [setting.intervention for setting in settings]
    known = next((one for one in found if one.plasticity is not None), None)
    if known is None or not (searched or any("(" in dose for dose in doses)):
        return None
    assert known.plasticity is not None
    columns = [*searched, *([_INTERVENTION] if len({*doses}) > 1 else [])]
    worse = "fall" if known.tickets.orientation == 1 else "rise"
    changes = [f"{known.plasticity.label}, rise", f"{known.tickets.label}, {worse}"]
    in_columns = len(columns) <= _MOST_COLUMNS
    named = [name.replace("_", "_\n") for name in columns] if in_columns else ["setting"]
    table = plain_table(
        *named,
        "stream", *(fill(change, _FIGURE) for change in changes), "seeds", padding=1,
    )  # fmt: skip
    for column in table.columns[: len(named) + 1]:
        column.overflow, column.no_wrap = "fold", False
    rows = []
    for setting, own in zip(settings, found, strict=True):
        values = {_INTERVENTION: setting.intervention, **setting.own}
        place = [values.get(name, NOT_GIVEN) for name in columns]
        searches = [*own.searches, *own.controls]
        several = len({search.place for search in searches}) > 1
        for search in searches:
            stream = f"{search.shift} at {search.place}" if several else search.shift
            seeds = search.plasticity.seeds if search.plasticity else 0
            both = (search.plasticity, search.tickets)
            cells = [without_zeros(figure(mean, separator="\n")) for mean in both]
            rows.append([*place, stream, *cells, str(seeds)])
    headings = [*columns, "stream"]

    def order(row: Sequence[str]) -> list[Any]:
        return [
            dose_order(value) if name == _INTERVENTION else _by_size(value)
            for name, value in zip(headings, row[: len(headings)], strict=True)
        ]

    before: Sequence[str] = ()
    for row in sorted(rows, key=order):
        place, rest = row[: len(columns)], row[len(columns) :]
        shared = "" if place == before else "\n".join(map(with_value, columns, place))
        table.add_row(*(place if in_columns else [shared]), *rest)
        before = place
    if not in_columns:
        lines = "\n".join(["setting", *map(str, table.columns[0].cells)]).split("\n")
        table.columns[0].width = min(max(map(len, lines)), _SHARED)
    return table


def _by_size(value: str) -> tuple[bool, float, str]:
    """Orders numbers by their size, before words."""
    try:
        return False, float(value), ""
    except ValueError:
        return True, 0.0, value
