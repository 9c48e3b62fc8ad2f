"""How analyses show their tables and answers, and write them into STORAGE/analysis/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from raylot.storage import Storage

if TYPE_CHECKING:
    import pandas as pd

#: Files and folders in STORAGE/analysis/ besides these tables.
_OTHERS = ("report.html", "figures")


_DTYPES = {pa.int64(): "Int64", pa.float64(): "float64", pa.bool_(): "boolean"}


def frame_of(rows: list[dict[str, Any]], columns: Mapping[str, pa.DataType]) -> pd.DataFrame:
    """Makes a frame of an analysis's rows with columns of these types; what a row lacks is null."""
    import pandas as pd  # takes a moment, which a sweep's progress need not wait for

    types = {name: _DTYPES[kind] for name, kind in columns.items() if kind in _DTYPES}
    return pd.DataFrame(rows, columns=list(columns)).astype(types)


def write(
    storage: Storage, name: str, frame: pd.DataFrame, columns: Mapping[str, pa.DataType]
) -> None:
    """Writes the columns of a frame as STORAGE/analysis/NAME.csv and .parquet; equal frames give
    equal bytes."""
    table = pa.Table.from_pandas(
        frame[list(columns)], pa.schema(list(columns.items())), preserve_index=False
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    contents = {
        "csv": frame[list(columns)].to_csv(index=False, lineterminator="\n").encode(),
        "parquet": sink.getvalue().to_pybytes(),
    }
    for ending, data in contents.items():
        storage.write(f"analysis/{name}.{ending}", data)


def print_where(console: Console, storage: Storage, *names: str) -> None:
    """Prints where `write` has written the files of these names, as an analysis's last line."""
    there = storage.names("analysis")
    written = [f"{name}.{ending}" for name in names for ending in ("csv", "parquet")]
    listed = [*written, *(other for other in _OTHERS if other in there)]
    root = storage.root.rstrip("/")
    console.print(
        f"All of it: {root}/analysis/ ({', '.join(listed)}), from {root}/tables/", soft_wrap=True
    )


def plain_table(*headings: str, padding: int = 2) -> Table:
    """Returns a table without lines, with bold headings, and so many blanks between columns."""
    table = Table(box=None, padding=(0, padding, 0, 0), pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    return table


def print_answers(console: Console, answers: Sequence[tuple[str, str]], note: str = "") -> None:
    """Prints each setting's title and answer last, so that they stay on the screen.

    The note says how to read them.
    """
    heading = f"Answer ({note}):" if note else "Answer:"
    for title, text in answers:
        console.print(heading if len(answers) == 1 else f"{heading} {title}", style="bold")
        console.print(f"{text}\n")
