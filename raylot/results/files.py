"""A table's files: a small one per run, and large ones that hold many ended runs.

::

    tables/<table>/<run_id>.parquet            written by the run itself, replaced at each save
    tables/<table>/compacted/<name>.parquet    rows of many runs, sorted by run_id

What makes reading safe while others write, compact, or are killed:

- A small file comes first: what a large one says of the same run is not read. So a run's rows
  count once, whether or not its small file has been removed yet.
- A small file is removed only when a large one that holds its run is in place, and a large file is
  never removed. So whoever lists small files first, and large ones after that, misses no run.
- Of a run that two large files hold (two compactions at once), only the first one's rows are read.
- A large file is only ever rewritten, atomically, without runs that another one holds too, or that
  are to be computed again.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raylot.results.schemas import SCHEMAS
from raylot.storage import Storage

_SUFFIX = ".parquet"
# In a large file's metadata: run_id -> number of rows, as JSON.
_RUNS = b"raylot.runs"
# Rows in which a run is looked for: a group's least and largest run_id tell whether it is there.
_ROWS_PER_GROUP = 10_000
# Objects that are fetched at once where each of them takes a round trip.
_FETCHED_AT_ONCE = 16


def schema_of(table: str) -> pa.Schema:
    return pa.schema(list(SCHEMAS[table].items()))


def small_path(table: str, run_id: str) -> str:
    return f"tables/{table}/{run_id}{_SUFFIX}"


def small_runs(storage: Storage, table: str) -> list[str]:
    """The runs that have a small file, sorted."""
    names = storage.names(f"tables/{table}")
    return [name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)]


def read_small(
    storage: Storage, table: str, run_ids: Iterable[str], columns: Sequence[str] | None = None
) -> Iterator[tuple[str, pa.Table]]:
    """Runs and their rows; a run whose small file is gone is left out."""
    paths = {run_id: small_path(table, run_id) for run_id in run_ids}
    if storage.is_local:
        yield from _parsed(table, paths, map(storage.read, paths.values()), columns)
        return
    with ThreadPoolExecutor(_FETCHED_AT_ONCE) as threads:
        yield from _parsed(table, paths, threads.map(storage.read, paths.values()), columns)


def _parsed(
    table: str,
    run_ids: Iterable[str],
    contents: Iterable[bytes | None],
    columns: Sequence[str] | None,
) -> Iterator[tuple[str, pa.Table]]:
    schema = _chosen(schema_of(table), columns)
    for run_id, data in zip(run_ids, contents, strict=True):
        if data is not None:
            yield run_id, _read(pq.ParquetFile(pa.BufferReader(data)), schema)


class Gathered:
    """Rows of many runs. A thousand small tables at a time become one, which takes less memory."""

    def __init__(self) -> None:
        self.rows = 0
        self._small: list[pa.Table] = []
        self._large: list[pa.Table] = []

    def add(self, table: pa.Table) -> None:
        self._small.append(table)
        self.rows += table.num_rows
        if len(self._small) == 1000:
            self.tables()

    def tables(self) -> list[pa.Table]:
        """All that was added, in order, as few tables."""
        if self._small:
            self._large.append(pa.concat_tables(self._small).combine_chunks())
            self._small = []
        return self._large


# ------------------------------------------------------------------ large files


@dataclass(frozen=True)
class LargeFile:
    """One large file of a table, opened for reading.

    Attributes:
        path: in the storage.
        table: its table.
        rows: run_id -> how many rows it has here.
        parquet: its contents.
    """

    path: str
    table: str
    rows: Mapping[str, int]
    parquet: pq.ParquetFile

    def read(self, without: Collection[str] = (), columns: Sequence[str] | None = None) -> pa.Table:
        """Its rows, without those of some runs."""
        schema = _chosen(schema_of(self.table), columns)
        if self.rows.keys().isdisjoint(without):
            return _read(self.parquet, schema)
        with_run = _chosen(schema_of(self.table), [*schema.names, "run_id"])
        found = _read(self.parquet, with_run)
        hidden = pc.is_in(found["run_id"], pa.array(sorted(without), pa.string()))
        return found.filter(pc.invert(hidden)).select(schema.names)

    def read_run(self, run_id: str) -> pa.Table:
        """One run's rows, from the groups of rows that may hold it."""
        metadata = self.parquet.metadata
        column = self.parquet.schema_arrow.get_field_index("run_id")
        groups = []
        for index in range(metadata.num_row_groups):
            known = metadata.row_group(index).column(column).statistics
            if known is None or not known.has_min_max or known.min <= run_id <= known.max:
                groups.append(index)
        found = _read(self.parquet, schema_of(self.table), groups)
        return found.filter(pc.equal(found["run_id"], run_id))


def large_path(table: str, run_ids: Collection[str]) -> str:
    """A new large file of some runs, whose name begins with the least and the largest of them."""
    name = f"{min(run_ids)}-{max(run_ids)}-{uuid.uuid4().hex[:8]}{_SUFFIX}"
    return f"tables/{table}/compacted/{name}"


def _may_hold(name: str, run_id: str) -> bool:
    parts = name.split("-")
    return len(parts) != 3 or parts[0] <= run_id <= parts[1]


def large_files(storage: Storage, table: str, run_id: str | None = None) -> list[LargeFile]:
    """All large files of a table, or those that may hold one run, in the order of their names.

    Another one may come in while they are opened, and one of these be rewritten without what is
    there: they are opened again until none has.
    """
    folder = f"tables/{table}/compacted"
    names = storage.names(folder)
    while True:
        found = [
            _open(storage, table, f"{folder}/{name}")
            for name in names
            if run_id is None or _may_hold(name, run_id)
        ]
        now = storage.names(folder)
        if now == names:
            return found
        names = now


def _open(storage: Storage, table: str, path: str) -> LargeFile:
    if storage.is_local:  # replaced files stay whole for whoever has opened them; objects do not
        parquet = pq.ParquetFile(storage.filesystem.open_input_file(storage.path(path)))
    else:
        with storage.filesystem.open_input_file(storage.path(path)) as file:
            parquet = pq.ParquetFile(pa.BufferReader(file.read()))
    rows = json.loads(parquet.schema_arrow.metadata[_RUNS])
    return LargeFile(path, table, rows, parquet)


def write_large(storage: Storage, path: str, rows: Mapping[str, int], table: pa.Table) -> None:
    """Creates or replaces a large file.

    Args:
        storage: where to.
        path: in the storage.
        rows: run_id -> how many of the rows it has.
        table: the rows, sorted by run_id.
    """
    metadata = {_RUNS: json.dumps(dict(rows)).encode()}
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(metadata), sink, row_group_size=_ROWS_PER_GROUP)
    storage.write(path, sink.getvalue().to_pybytes())


def drop(storage: Storage, file: LargeFile, run_ids: Collection[str]) -> None:
    """Rewrites a large file without some runs."""
    rows = {run_id: count for run_id, count in file.rows.items() if run_id not in run_ids}
    if len(rows) < len(file.rows):
        write_large(storage, file.path, rows, file.read(without=run_ids))


# ------------------------------------------------------------------ columns


def _chosen(schema: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    if columns is None:
        return schema
    return pa.schema([schema.field(name) for name in dict.fromkeys(columns)])


def _read(
    parquet: pq.ParquetFile, schema: pa.Schema, groups: Sequence[int] | None = None
) -> pa.Table:
    """Columns of a file; one that it was written without is null."""
    there = set(parquet.schema_arrow.names)
    names = [name for name in schema.names if name in there]
    # one thread: with more, the many small files take several times as long
    found = (
        parquet.read(columns=names, use_threads=False)
        if groups is None
        else parquet.read_row_groups(groups, columns=names, use_threads=False)
    )
    found = found.replace_schema_metadata(None)
    if found.schema.equals(schema):
        return found
    arrays = [
        found[field.name].cast(field.type)
        if field.name in there
        else pa.nulls(found.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
