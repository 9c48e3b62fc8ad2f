"""Writes a table of answers beside the tables that it was made from."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from raylot.storage import Storage


def write(
    storage: Storage,
    console: Console,
    name: str,
    frame: pd.DataFrame,
    columns: Mapping[str, pa.DataType],
) -> None:
    """Writes STORAGE/analysis/NAME.csv and .parquet, and says where.

    Args:
        storage: where to.
        console: where to say so.
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
        path = f"analysis/{name}.{ending}"
        storage.write(path, data)
        console.print(f"written  {storage.root.rstrip('/')}/{path}", soft_wrap=True)
