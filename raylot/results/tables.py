"""Writing tables run by run, and reading them: whole, or one run's rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from raylot.options import OptionError
from raylot.results import files
from raylot.results.schemas import SCHEMAS
from raylot.seal import DamagedFileError
from raylot.storage import Storage


def write(storage: Storage, table: str, run_id: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Replaces one run's rows of one table, atomically; columns not given are null.

    Raises:
        KeyError: a row has a column that the table lacks.
    """
    schema = files.schema_of(table)
    rows = list(rows)
    unknown = {column for row in rows for column in row} - set(schema.names)
    if unknown:
        raise KeyError(f"table {table} has no column {', '.join(sorted(unknown))}")
    files.write_small(storage, table, run_id, pa.Table.from_pylist(rows, schema=schema))


def read_run(storage: Storage, table: str, run_id: str) -> list[dict[str, Any]] | None:
    """One run's rows of one table; None if it has none yet.

    Raises:
        DamagedFileError: its small file is not what was written.
    """
    for _, own in files.examine_small(storage, table, [run_id]):
        if isinstance(own, DamagedFileError):
            raise own
        return list(own.to_pylist())
    for file in files.large_files(storage, table, run_id):
        if run_id in file.rows:
            return list(file.read_run(run_id).to_pylist())
    return None


def read(
    root: str | Path | Storage, table: str, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """One whole table, all runs; with its columns but no rows if nothing was written yet.

    Args:
        root: the storage's folder or URI.
        table: one of `SCHEMAS`.
        columns: of the table; None: all. Few columns take less time and memory.

    Raises:
        OptionError: there is no such table.
    """
    if table not in SCHEMAS:
        raise OptionError(f"table={table}: must be one of {', '.join(SCHEMAS)}")
    storage = root if isinstance(root, Storage) else Storage(root)
    read_already: set[str] = set()
    gathered = files.Gathered()
    for run_id, own in files.read_small(storage, table, files.small_runs(storage, table), columns):
        gathered.add(own)
        read_already.add(run_id)
    parts = gathered.tables()
    for file in files.large_files(storage, table):
        parts.append(file.read(without=read_already, columns=columns))
        read_already |= file.rows.keys()
    if not parts:
        empty = files.schema_of(table).empty_table()
        parts.append(empty if columns is None else empty.select(list(columns)))
    found = pa.concat_tables(parts)
    del parts
    frame: pd.DataFrame = found.to_pandas()
    return frame


def finished_runs(storage: Storage) -> set[str]:
    """The run_ids that need not be computed any more: finished, diverged and failed ones."""
    found = set(files.small_runs(storage, "runs"))
    return found.union(*(file.rows for file in files.large_files(storage, "runs")))


def forget_runs(storage: Storage, run_ids: Collection[str]) -> None:
    """Makes runs count as unfinished, so that the next sweep computes them again."""
    if not run_ids:
        return
    for run_id in run_ids:
        storage.delete_file(files.small_path("runs", run_id))
    only = next(iter(run_ids)) if len(run_ids) == 1 else None
    # from ``runs`` first: were others first and this killed, an ended run would lack rows
    for table in sorted(SCHEMAS, key=lambda table: table != "runs"):
        for file in files.large_files(storage, table, only):
            files.drop(storage, file, run_ids)
