"""How analyses show their tables and answers, and write them into STORAGE/analysis/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from raylot.storage import Storage

#: Files and folders in STORAGE/analysis/ besides these tables.
_OTHERS = ("report.html", "figures")


def write(
    storage: Storage, name: str, frame: pd.DataFrame, columns: Mapping[str, pa.DataType]
) -> None:
    """Writes STORAGE/analysis/NAME.csv and .parquet.

    Args:
        storage: where to.
        name: of the files, without ending.
        frame: the rows.
        columns: name -> Arrow type, in order; equal frames give equal bytes.
    """
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


def print_where(console: Console, storage: Storage, name: str) -> None:
    """Prints where the written files are, as the last line of an analysis.

    Args:
        console: where to.
        storage: that was analysed.
        name: of the files that `write` has written.
    """
    there = storage.names("analysis")
    listed = [f"{name}.csv", f"{name}.parquet", *(other for other in _OTHERS if other in there)]
    root = storage.root.rstrip("/")
    console.print(
        f"All of it: {root}/analysis/ ({', '.join(listed)}), from {root}/tables/", soft_wrap=True
    )


def plain_table(*, padding: int = 2) -> Table:
    """A table without lines, with bold headings.

    Args:
        padding: blanks between two columns.
    """
    return Table(box=None, padding=(0, padding, 0, 0), pad_edge=False, header_style="bold")


def print_answers(console: Console, answers: Sequence[tuple[str, str]], note: str = "") -> None:
    """Prints the answers last, so that they stay on the screen.

    Args:
        console: where to.
        answers: of each setting, the most important first: its title, and the answer in words.
        note: how to read them.
    """
    heading = f"Answer ({note}):" if note else "Answer:"
    for title, text in answers:
        console.print(heading if len(answers) == 1 else f"{heading} {title}", style="bold")
        console.print(f"{text}\n")
