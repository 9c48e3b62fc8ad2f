"""A table's files: a small one per run, and large ones that hold many ended runs.

::

    tables/<table>/<run_id>.parquet                 written by the run, replaced at each save
    tables/<table>/compacted/<first run_id>-<last run_id>-<digest>.parquet    sorted by run_id

A run that has a small file counts by that one, and else by the first large file that holds it. So
nothing is lost or counted twice where a compaction was killed, which writes a large file before it
deletes the small ones. Large files do not change: to take runs out, a file of the others is
written, and the first one is deleted. Only whoever holds the storage's lease does that.

Parquet's page checksums protect the values, and a mark in the metadata the names of the columns. A
large file's name holds its digest, a small one's digest stands in the table ``runs``. Files of
older versions are sealed (`raylot.seal`), or have no checksum.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raylot import seal
from raylot.results.schemas import SCHEMAS
from raylot.seal import DamagedFileError
from raylot.storage import Storage

_log = logging.getLogger(__name__)

#: The form of every run_id: it is safe in a path, and has none of the ``-`` of a large file's name.
RUN_ID = re.compile("[0-9A-Za-z_]{1,64}")

_SUFFIX = ".parquet"
# In a file's metadata: `_digest` of the names of its table and columns.
_MARK = b"raylot.columns"
# Characters of a digest in a large file's name; names of older versions have no digest.
_DIGEST = 32
# Objects that are fetched at once where each of them takes a round trip.
_FETCHED_AT_ONCE = 16
# What pyarrow raises for files that are damaged, or not what they should be.
_UNREADABLE = (OSError, pa.ArrowException, ValueError, KeyError)


@dataclass(frozen=True)
class SmallFile:
    """A run's file of one table, as it was read.

    Attributes:
        run_id: of the run.
        path: in the storage.
        rows: ``run_id``, and the columns that were asked for.
        digest: of the file; None if it has no checksum, and nobody knows whether it is damaged.
    """

    run_id: str
    path: str
    rows: pa.Table
    digest: str | None


@dataclass(frozen=True)
class LargeFile:
    """A file with rows of many runs, opened for reading.

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
        """Its rows, without those of some runs: ``run_id``, and the columns asked for."""
        found = _read(self.parquet, self.table, columns, self.path)
        if self.rows.keys().isdisjoint(without):
            return found
        left_out = pc.is_in(found["run_id"], pa.array(sorted(without), pa.string()))
        return found.filter(pc.invert(left_out))


File = TypeVar("File", SmallFile, LargeFile)


def undamaged(files: Iterable[File | DamagedFileError]) -> Iterator[File]:
    """Files without those that are damaged, which are reported."""
    for file in files:
        if isinstance(file, DamagedFileError):
            _log.warning(
                "%s; it is left out (python -m raylot.results check STORAGE tells what to do)", file
            )
        else:
            yield file


def small_path(table: str, run_id: str) -> str:
    """Where a run's small file lies.

    Raises:
        DamagedFileError: this is no run_id.
    """
    path = f"tables/{table}/{run_id}{_SUFFIX}"
    if not RUN_ID.fullmatch(run_id):
        raise DamagedFileError(path, "its name is no run_id")
    return path


def small_runs(storage: Storage, table: str) -> list[str]:
    """The runs that have a small file, sorted."""
    names = storage.names(f"tables/{table}")
    return [name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)]


def small_files(
    storage: Storage, table: str, run_ids: Iterable[str], columns: Sequence[str] | None = None
) -> Iterator[SmallFile | DamagedFileError]:
    """Small files of some runs, or what is wrong with them; those that are gone are left out."""

    def examined(run_id: str) -> SmallFile | DamagedFileError | None:
        try:
            path = small_path(table, run_id)
            return storage.read_whole(path, lambda data: _small(data, path, table, run_id, columns))
        except DamagedFileError as damage:
            return damage

    with ThreadPoolExecutor(_FETCHED_AT_ONCE) as threads:
        each = map if storage.is_local else threads.map
        yield from (file for file in each(examined, run_ids) if file is not None)


def large_files(
    storage: Storage, table: str, run_id: str | None = None
) -> list[LargeFile | DamagedFileError]:
    """All large files of a table, or those that may hold one run, or what is wrong with them."""
    folder = f"tables/{table}/compacted"

    def examined(path: str) -> LargeFile | DamagedFileError | None:
        try:
            return storage.read_whole(path, lambda data: _large(data, path, table))
        except DamagedFileError as damage:
            return damage

    names = storage.names(folder)
    while True:
        wanted = [name for name in names if run_id is None or _may_hold(name, run_id)]
        found = [examined(f"{folder}/{name}") for name in wanted]
        now = storage.names(folder)
        if now == names:  # else one may have been replaced before it was opened
            return [file for file in found if file is not None]
        names = now


def gathered(tables: Iterable[pa.Table]) -> list[pa.Table]:
    """The rows of many small tables in few, which take less memory."""
    tables, few = iter(tables), []
    while some := list(itertools.islice(tables, 1000)):
        few.append(pa.concat_tables(some).combine_chunks())
    return few


def write_large(storage: Storage, rows: pa.Table, table: str) -> None:
    """Writes a large file, if there are any rows; they are sorted by run_id."""
    if rows.num_rows:
        data = to_bytes(rows, table)
        name = f"{rows['run_id'][0]}-{rows['run_id'][-1]}-{_digest(data)}{_SUFFIX}"
        storage.write(f"tables/{table}/compacted/{name}", data)


def drop(storage: Storage, file: LargeFile, run_ids: Collection[str]) -> None:
    """Takes runs out of a large file."""
    if not file.rows.keys().isdisjoint(run_ids):
        write_large(storage, file.read(without=run_ids), file.table)
        storage.delete_file(file.path)


def schema_of(table: str) -> pa.Schema:
    return pa.schema(list(SCHEMAS[table].items()))


def to_bytes(rows: pa.Table, table: str) -> bytes:
    """The contents of a file of a table."""
    sink = pa.BufferOutputStream()
    marked = rows.replace_schema_metadata({_MARK: _mark(table, rows.schema.names)})
    pq.write_table(marked, sink, write_page_checksum=True)
    return bytes(sink.getvalue())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_DIGEST]


def _mark(table: str, columns: Iterable[str]) -> bytes:
    return _digest(",".join([table, *columns]).encode()).encode()


def _may_hold(name: str, run_id: str) -> bool:
    parts = name.split("-")
    return len(parts) != 3 or parts[0] <= run_id <= parts[1]


def _small(
    data: bytes, path: str, table: str, run_id: str, columns: Sequence[str] | None
) -> SmallFile:
    parquet, has_checksum = _opened(data, path, table)
    rows = _read(parquet, table, columns, path)
    if not pc.all(pc.equal(rows["run_id"], run_id), skip_nulls=False, min_count=0).as_py():
        raise DamagedFileError(path, "it holds rows of another run")
    return SmallFile(run_id, path, rows, seal.fingerprint(data) if has_checksum else None)


def _large(data: bytes, path: str, table: str) -> LargeFile:
    digest = path.removesuffix(_SUFFIX).rpartition("-")[2]
    if len(digest) == _DIGEST and digest != _digest(data):
        raise DamagedFileError(path, "its checksum does not fit")
    parquet, has_checksum = _opened(data, path, table)
    found = _read(parquet, table, ["run_id"] if has_checksum else None, path)
    counts = pc.value_counts(found["run_id"].combine_chunks()).to_pylist()
    rows = {count["values"]: count["counts"] for count in counts}
    if not all(run_id and RUN_ID.fullmatch(run_id) for run_id in rows):
        raise DamagedFileError(path, "it holds rows of no run")
    return LargeFile(path, table, rows, parquet)


def _opened(data: bytes, path: str, table: str) -> tuple[pq.ParquetFile, bool]:
    """A file's contents, and whether they have a checksum; values are checked as they are read.

    Raises:
        DamagedFileError: they are damaged.
    """
    try:
        parquet = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        schema = parquet.schema_arrow
    except _UNREADABLE as error:
        raise DamagedFileError(path, " ".join(str(error).split())) from None
    mark = (schema.metadata or {}).get(_MARK)
    if mark is None:  # of an older version
        return parquet, seal.check(data, path)
    if mark != _mark(table, schema.names):
        raise DamagedFileError(path, f"its columns are not those written for {table}")
    return parquet, True


def _read(
    parquet: pq.ParquetFile, table: str, columns: Sequence[str] | None, path: str
) -> pa.Table:
    """``run_id`` and other columns; one that the file was written without is null.

    Raises:
        DamagedFileError: they cannot be read.
    """
    schema = schema_of(table)
    if columns is not None:
        schema = pa.schema([schema.field(name) for name in dict.fromkeys(["run_id", *columns])])
    there = set(parquet.schema_arrow.names).intersection(schema.names)
    try:
        # one thread: with more, the many small files take several times as long
        found = parquet.read(columns=list(there), use_threads=False)
        arrays = [
            found[field.name].cast(field.type)
            if field.name in there
            else pa.nulls(found.num_rows, field.type)
            for field in schema
        ]
        read = pa.Table.from_arrays(arrays, schema=schema)
        read.validate(full=True)
    except _UNREADABLE as error:
        raise DamagedFileError(path, " ".join(str(error).split())) from None
    return read
