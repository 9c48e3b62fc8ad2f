"""Compares two runs, or two storages: ``raylot diff A B``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from raylot.analysis.differences import Result, Side, compared, find_run, options, runs
from raylot.config.parser import OneLineParser
from raylot.foundation.errors import OptionError
from raylot.foundation.text import one_line
from raylot.results.tables import opened

#: Width of the output where no terminal says it.
_WIDTH = 120

#: Characters of a list of values that are shown.
_LONGEST = 200


def diff(words: Sequence[str]) -> int:
    """Runs ``raylot diff``.

    Returns:
        The exit status: 1 if something differs, else 0.

    Raises:
        OptionError: a side is no storage and no run in one, or one is a run and the other is not.
    """
    parser = OneLineParser(
        prog="raylot diff",
        description="Compares two storages, or two runs as STORAGE:RUN, where RUN is a run_id or "
        "its beginning: options, versions, and results in the rows that both have, bit for bit. "
        "Times and names of runs do not count. Exit status 1 if something differs.",
    )
    for name in ("A", "B"):
        parser.add_argument(name.lower(), metavar=name, help="STORAGE or STORAGE:RUN")
    given = parser.parse_args(words)
    one, other = _side(given.a), _side(given.b)
    if (one.run_id is None) != (other.run_id is None):
        raise OptionError(
            f"{one_line(given.b)}: must be a storage or a run, as {one_line(given.a)} is"
        )
    tables = [*_of_runs(one, other), *_of_options(one, other)]
    found = compared(one, other)
    tables += _of_results(found)
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _WIDTH
    for table in tables:
        console.print(table)
        console.print()
    rows = len({result.table for result in found})
    console.print(
        "They differ."
        if tables
        else f"No difference in options, versions and the results of {rows} tables."
    )
    return 1 if tables else 0


def _side(word: str) -> Side:
    """Reads ``STORAGE`` or ``STORAGE:RUN``; a folder's or URI's own name may hold colons."""
    try:
        return Side(opened(word))
    except OptionError:
        root, colon, prefix = word.rpartition(":")
        if not colon or not root or "/" in prefix:
            raise
    storage = opened(root)
    return Side(storage, find_run(storage, prefix))


def _of_runs(one: Side, other: Side) -> list[Table]:
    counts = runs(one, other)
    if one.run_id is not None or not any(a or b for a, b, _ in counts.values()):
        return []
    rows = [[kind, *map(str, numbers)] for kind, numbers in counts.items()]
    return [_table("Runs", ["kind", "in A alone", "in B alone", "in both"], rows)]


def _of_options(one: Side, other: Side) -> list[Table]:
    found = options(one, other)
    rows = [[name, *map(_short, values)] for name, values in found.items()]
    return [_table("Options, versions and ends", ["column", "A", "B"], rows)] if rows else []


def _of_results(found: Iterable[Result]) -> list[Table]:
    rows = [
        [each.table, each.measure, str(each.rows), str(each.different), f"{each.largest:.3g}",
         *(f"{mean:.6g}" for mean in each.means)]
        for each in found
        if each.different
    ]  # fmt: skip
    names = ["table", "measure", "rows", "differ", "largest gap", "mean in A", "mean in B"]
    return [_table("Results in rows that both have", names, rows)] if rows else []


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _table(title: str, names: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left")
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    return table
