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
- A large file is only ever rewritten, atomically, without runs that another one holds too, that
  are to be computed again, or that have been.

Every file is sealed with a checksum (`raylot.seal`). One that is damaged is named and left out,
never read as data.
"""

from __future__ import annotations

import functools
import json
import logging
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raylot import seal
from raylot.results.schemas import SCHEMAS
from raylot.seal import DamagedFileError
from raylot.storage import Storage

Result = TypeVar("Result")

_log = logging.getLogger(__name__)

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


def write_small(storage: Storage, table: str, run_id: str, rows: pa.Table) -> None:
    """Creates or replaces a run's small file."""
    storage.write(small_path(table, run_id), _to_bytes(rows, {}))


def read_small(
    storage: Storage, table: str, run_ids: Iterable[str], columns: Sequence[str] | None = None
) -> Iterator[tuple[str, pa.Table]]:
    """Runs and their rows, without those whose small file is gone, or damaged, which is named."""
    for run_id, found in examine_small(storage, table, run_ids, columns):
        if isinstance(found, DamagedFileError):
            _name(found)
        else:
            yield run_id, found


def examine_small(
    storage: Storage, table: str, run_ids: Iterable[str], columns: Sequence[str] | None = None
) -> Iterator[tuple[str, pa.Table | DamagedFileError]]:
    """Runs and their rows, or what is wrong with their small file; those without one left out."""
    paths = {run_id: small_path(table, run_id) for run_id in run_ids}
    schema = _chosen(schema_of(table), columns)

    def examined(path: str) -> pa.Table | DamagedFileError | None:
        try:
            return storage.read_whole(path, lambda data: _read(_parquet(data, path), schema, path))
        except DamagedFileError as damage:
            return damage

    for run_id, found in zip(paths, _for_each(storage, examined, paths.values()), strict=True):
        if found is not None:
            yield run_id, found


def _for_each(
    storage: Storage, examined: Callable[[str], Result], paths: Iterable[str]
) -> Iterator[Result]:
    if storage.is_local:
        yield from map(examined, paths)
        return
    with ThreadPoolExecutor(_FETCHED_AT_ONCE) as threads:
        yield from threads.map(examined, paths)


def _name(damage: DamagedFileError) -> None:
    _log.warning(
        "%s; it is left out (python -m raylot.results check STORAGE tells what to do)", damage
    )


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
            return _read(self.parquet, schema, self.path)
        with_run = _chosen(schema_of(self.table), [*schema.names, "run_id"])
        found = _read(self.parquet, with_run, self.path)
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
        found = _read(self.parquet, schema_of(self.table), self.path, groups)
        return found.filter(pc.equal(found["run_id"], run_id))

    def read_each(self) -> dict[str, pa.Table]:
        """Every run's rows: run_id -> table."""
        found, first = self.read(), 0
        each = {}
        for run_id, count in self.rows.items():  # in the order of the rows
            each[run_id] = found.slice(first, count)
            first += count
        return each


def large_path(table: str, run_ids: Collection[str]) -> str:
    """A new large file of some runs, whose name begins with the least and the largest of them."""
    name = f"{min(run_ids)}-{max(run_ids)}-{uuid.uuid4().hex[:8]}{_SUFFIX}"
    return f"tables/{table}/compacted/{name}"


def _may_hold(name: str, run_id: str) -> bool:
    parts = name.split("-")
    return len(parts) != 3 or parts[0] <= run_id <= parts[1]


def large_files(storage: Storage, table: str, run_id: str | None = None) -> list[LargeFile]:
    """All large files of a table, or those that may hold one run, in the order of their names.

    Damaged ones are named and left out. Another one may come in while they are opened, and one of
    these be rewritten without what is there: they are opened again until none has.
    """
    found = []
    for file in examine_large(storage, table, run_id):
        if isinstance(file, DamagedFileError):
            _name(file)
        else:
            found.append(file)
    return found


def examine_large(
    storage: Storage, table: str, run_id: str | None = None
) -> list[LargeFile | DamagedFileError]:
    """As `large_files`, with what is wrong with those that are damaged."""
    folder = f"tables/{table}/compacted"
    names = storage.names(folder)
    while True:
        found = [
            _open_or_damaged(storage, table, f"{folder}/{name}")
            for name in names
            if run_id is None or _may_hold(name, run_id)
        ]
        now = storage.names(folder)
        if now == names:
            return found
        names = now


def _open_or_damaged(storage: Storage, table: str, path: str) -> LargeFile | DamagedFileError:
    try:
        return _open(storage, table, path)
    except DamagedFileError as damage:
        return damage
    except FileNotFoundError:  # set aside since it was listed; or listed, and not to be opened
        return DamagedFileError(path, "it cannot be opened")


def _open(storage: Storage, table: str, path: str) -> LargeFile:
    """Opens a large file.

    Raises:
        DamagedFileError: it is not what was written.
        FileNotFoundError: it is gone.
    """
    if storage.is_local:  # replaced files stay whole for whoever has opened them; objects do not
        source = storage.filesystem.open_input_file(storage.path(path))
        state = Path(storage.path(path)).stat()
        _check_once(storage, path, (state.st_ino, state.st_size, state.st_mtime_ns))
        return _large(table, path, source)
    found = storage.read_whole(
        path, lambda data: _large(table, path, pa.BufferReader(_checked_large(data, path)))
    )
    if found is None:
        raise FileNotFoundError(path)
    return found


def _large(table: str, path: str, source: pa.NativeFile) -> LargeFile:
    try:
        parquet = pq.ParquetFile(source)
        rows = json.loads((parquet.schema_arrow.metadata or {})[_RUNS])
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise DamagedFileError(path, " ".join(str(error).split())) from None
    return LargeFile(path, table, rows, parquet)


@functools.lru_cache(maxsize=1024)
def _check_once(storage: Storage, path: str, version: tuple[int, ...]) -> None:
    """Reads all of a large file, as long as it stays the same only once per process."""
    data = storage.read(path)
    if data is not None:
        _checked_large(data, path)


def _checked_large(data: bytes, path: str) -> bytes:
    """A large file's contents, if they are what was written.

    Raises:
        DamagedFileError: they are not.
    """
    seal.check(data, path)
    if not seal.is_sealed(data):  # written before there were checksums: reading tells
        parquet = _parquet(data, path)
        _read(parquet, parquet.schema_arrow, path)
    return data


def write_large(storage: Storage, path: str, rows: Mapping[str, int], table: pa.Table) -> None:
    """Creates or replaces a large file.

    Args:
        storage: where to.
        path: in the storage.
        rows: run_id -> how many of the rows it has.
        table: the rows, sorted by run_id.
    """
    storage.write(path, _to_bytes(table, {_RUNS: json.dumps(dict(rows)).encode()}))


def _to_bytes(table: pa.Table, metadata: Mapping[bytes, bytes]) -> bytes:
    """A table as the bytes of a sealed Parquet file."""
    sink = pa.BufferOutputStream()
    table = table.replace_schema_metadata(dict(metadata) or None)
    with pq.ParquetWriter(sink, table.schema) as writer:
        writer.write_table(table, row_group_size=_ROWS_PER_GROUP)
        writer.add_key_value_metadata({seal.KEY: seal.BLANK})
    return seal.sealed(sink.getvalue().to_pybytes())


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


def _parquet(data: bytes, path: str) -> pq.ParquetFile:
    """Opens a file's contents.

    Raises:
        DamagedFileError: they are not what was written.
    """
    seal.check(data, path)
    try:
        return pq.ParquetFile(pa.BufferReader(data))
    except (OSError, pa.ArrowException) as error:
        raise DamagedFileError(path, " ".join(str(error).split())) from None


def _read(
    parquet: pq.ParquetFile, schema: pa.Schema, path: str, groups: Sequence[int] | None = None
) -> pa.Table:
    """Columns of a file; one that it was written without is null.

    Raises:
        DamagedFileError: they cannot be read.
    """
    there = set(parquet.schema_arrow.names)
    names = [name for name in schema.names if name in there]
    try:
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
    except (OSError, pa.ArrowException) as error:  # of a file that raylot has not written
        raise DamagedFileError(path, " ".join(str(error).split())) from None
    return pa.Table.from_arrays(arrays, schema=schema)
