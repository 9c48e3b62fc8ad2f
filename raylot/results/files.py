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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
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
    """A file with rows of many runs, as it was read.

    Attributes:
        path: in the storage.
        table: its table.
        rows: run_id -> how many rows it has here.
        contents: ``run_id``, and the columns that were asked for.
    """

    path: str
    table: str
    rows: Mapping[str, int]
    contents: pa.Table

    def without(self, run_ids: Collection[str]) -> pa.Table:
        """Its contents, without the rows of some runs."""
        if self.rows.keys().isdisjoint(run_ids):
            return self.contents
        left_out = pc.is_in(self.contents["run_id"], pa.array(sorted(run_ids), pa.string()))
        return self.contents.filter(pc.invert(left_out))


File = TypeVar("File", SmallFile, LargeFile)


def undamaged(files: Iterable[File | DamagedFileError | None]) -> Iterator[File]:
    """Files without those that are gone, and those that are damaged, which are reported."""
    for file in files:
        if isinstance(file, DamagedFileError):
            _log.warning(
                "%s; it is left out (python -m raylot.results check STORAGE tells what to do)", file
            )
        elif file is not None:
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
        except DamagedFileError as damage:
            return damage
        return _examined(storage, path, lambda data: _small(data, path, table, run_id, columns))

    with ThreadPoolExecutor(_FETCHED_AT_ONCE) as threads:
        each = map if storage.is_local else threads.map
        yield from filter(None, each(examined, run_ids))


def large_names(storage: Storage, table: str) -> list[str]:
    """Names of all large files of a table, sorted."""
    return storage.names(f"tables/{table}/compacted")


def large_files(
    storage: Storage, table: str, columns: Sequence[str] | None = None, run_id: str | None = None
) -> Iterator[LargeFile | DamagedFileError]:
    """Large files of a table, or what is wrong with them; with ``run_id``, those that may hold it.

    A file may be replaced before it is opened, by one with the rest of its runs: what has come
    meanwhile is yielded too, though its runs may have been yielded before.
    """
    seen: set[str] = set()
    while fresh := [name for name in large_names(storage, table) if name not in seen]:
        seen.update(fresh)
        for name in fresh:
            if run_id is None or _may_hold(name, run_id):
                path = f"tables/{table}/compacted/{name}"
                if file := _large_file(storage, table, path, columns):
                    yield file


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
    """Takes runs out of a large file; one that turns out to be damaged stays as it is."""
    if not file.rows.keys().isdisjoint(run_ids):
        for whole in undamaged([_large_file(storage, file.table, file.path)]):
            write_large(storage, whole.without(run_ids), file.table)
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


def _examined(
    storage: Storage, path: str, parse: Callable[[bytes], File]
) -> File | DamagedFileError | None:
    try:
        return storage.read_whole(path, parse)
    except DamagedFileError as damage:
        return damage


def _small(
    data: bytes, path: str, table: str, run_id: str, columns: Sequence[str] | None
) -> SmallFile:
    rows, has_checksum = _read(data, path, table, columns)
    if not pc.all(pc.equal(rows["run_id"], run_id), skip_nulls=False, min_count=0).as_py():
        raise DamagedFileError(path, "it holds rows of another run")
    return SmallFile(run_id, path, rows, seal.fingerprint(data) if has_checksum else None)


def _large_file(
    storage: Storage, table: str, path: str, columns: Sequence[str] | None = None
) -> LargeFile | DamagedFileError | None:
    def parse(data: bytes) -> LargeFile:
        digest = path.removesuffix(_SUFFIX).rpartition("-")[2]
        if len(digest) == _DIGEST and digest != _digest(data):
            raise DamagedFileError(path, "its checksum does not fit")
        contents, _ = _read(data, path, table, columns)
        counts = pc.value_counts(contents["run_id"].combine_chunks()).to_pylist()
        rows = {count["values"]: count["counts"] for count in counts}
        if not all(run_id and RUN_ID.fullmatch(run_id) for run_id in rows):
            raise DamagedFileError(path, "it holds rows of no run")
        return LargeFile(path, table, rows, contents)

    return _examined(storage, path, parse)


def _read(
    data: bytes, path: str, table: str, columns: Sequence[str] | None
) -> tuple[pa.Table, bool]:
    """Reads ``run_id`` and other columns of a file; one that it was written without is null.

    Returns:
        The rows, and whether the file has a checksum.

    Raises:
        DamagedFileError: what was read is damaged.
    """
    schema = schema_of(table)
    if columns is not None:
        schema = pa.schema([schema.field(name) for name in dict.fromkeys(["run_id", *columns])])
    try:
        parquet = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        written = parquet.schema_arrow
        mark = (written.metadata or {}).get(_MARK)
        if mark not in (None, _mark(table, written.names)):
            raise ValueError(f"its columns are not those written for {table}")
        there = set(written.names).intersection(schema.names)
        # one thread: with more, the many small files take several times as long
        found = parquet.read(columns=list(there), use_threads=False)
        arrays = [
            found[field.name].cast(field.type)
            if field.name in there
            else pa.nulls(found.num_rows, field.type)
            for field in schema
        ]
        rows = pa.Table.from_arrays(arrays, schema=schema)
        rows.validate(full=True)
    except _UNREADABLE as error:
        raise DamagedFileError(path, " ".join(str(error).split())) from None
    return rows, mark is not None or seal.check(data, path)  # older versions sealed tables, or not
