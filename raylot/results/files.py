"""A table's files: a small one per run, and large ones that hold many ended runs.

::

    tables/<table>/<run_id>.parquet                 written by the run, replaced at each save
    tables/<table>/compacted/<first run_id>-<last run_id>-<digest>.parquet    sorted by run_id

A run's rows are those of its small file or, if it has none, those of the first large file that
holds it. A compaction writes a large file before it deletes the small ones; so if it is killed, no
row is lost or counted twice. Large files never change: to take runs out of one, raylot writes a
file with the other runs and deletes the old one. Only the holder of the storage's lease does that.

Parquet's page checksums protect the values; a mark in the metadata protects the names of the
columns. A large file's name holds its digest, the table ``runs`` those of small files.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raylot.results.schemas import SCHEMAS
from raylot.storage import Storage, checksum
from raylot.storage.checksum import DamagedFileError

_log = logging.getLogger(__name__)

#: The form of every run_id: it is safe in a path, and has none of the ``-`` of a large file's name.
RUN_ID = re.compile("[0-9A-Za-z_]{1,64}")

_SUFFIX = ".parquet"
# In a file's metadata: digest of the names of its table and columns, see `_mark`.
_MARK = b"raylot.columns"
# Characters of a digest in a large file's name.
_DIGEST = 32
#: Files that are read at the same time where each of them takes a round trip.
AT_ONCE = 16
#: Small tables that are joined at once; until then each takes a tenth of a megabyte and more.
_JOINED = 100
# What pyarrow raises for damaged files, and for files of another kind.
_UNREADABLE = (OSError, pa.ArrowException, ValueError, KeyError)


@dataclass(frozen=True)
class TableFile:
    """The contents of a small or a large file.

    Attributes:
        path: in the storage.
        table: the name of its table.
        counts: run_id -> how many rows the run has here.
        rows: ``run_id``, and the columns that the reader asked for.
        digest: of the file; None if the file has no checksum, so that damage may go unnoticed.
    """

    path: str
    table: str
    counts: Mapping[str, int]
    rows: pa.Table
    digest: str | None

    @property
    def run_id(self) -> str:
        """The run whose small file it is."""
        return next(iter(self.counts))

    def without(self, run_ids: Collection[str]) -> pa.Table:
        """Returns its rows without those of some runs."""
        if self.counts.keys().isdisjoint(run_ids):
            return self.rows
        left_out = pc.is_in(self.rows["run_id"], pa.array(sorted(run_ids), pa.string()))
        return self.rows.filter(pc.invert(left_out))


def undamaged(files: Iterable[TableFile | DamagedFileError]) -> Iterator[TableFile]:
    """Yields the undamaged files, and logs the damaged ones."""
    for file in files:
        if isinstance(file, DamagedFileError):
            _log.warning("%s; it is left out (raylot check STORAGE tells what to do)", file)
        else:
            yield file


def small_path(table: str, run_id: str) -> str:
    """Returns the path of a run's small file.

    Raises:
        DamagedFileError: the text does not have the form of a run_id.
    """
    path = f"tables/{table}/{run_id}{_SUFFIX}"
    if not RUN_ID.fullmatch(run_id):
        raise DamagedFileError(path, "its name is no run_id")
    return path


def small_runs(storage: Storage, table: str) -> list[str]:
    """Returns the runs that have a small file, sorted."""
    names = storage.names(f"tables/{table}")
    return [name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)]


def small_files(
    storage: Storage, table: str, run_ids: Iterable[str], columns: Sequence[str] | None = None
) -> Iterator[TableFile | DamagedFileError]:
    """Yields the small files of some runs, or what is wrong with them; skips missing ones."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        each = map if storage.is_local else threads.map
        found = each(lambda run_id: _examined(storage, table, columns, run_id=run_id), run_ids)
        yield from filter(None, found)


def large_names(storage: Storage, table: str) -> list[str]:
    """Returns the names of all large files of a table, sorted."""
    return storage.names(f"tables/{table}/compacted")


def large_files(
    storage: Storage, table: str, columns: Sequence[str] | None = None, run_id: str | None = None
) -> Iterator[TableFile | DamagedFileError]:
    """Yields the large files of a table, or what is wrong with them.

    With ``run_id``, yields only those that may hold that run. Another process may replace a file
    before it is opened, by one with the rest of its runs. So files that appear meanwhile are
    yielded too, though the same runs may have been yielded before.
    """
    seen: set[str] = set()
    while fresh := [name for name in large_names(storage, table) if name not in seen]:
        seen.update(fresh)
        for name in fresh:
            path = f"tables/{table}/compacted/{name}"
            if run_id is not None and not _may_hold(storage, table, path, run_id):
                continue
            if file := _examined(storage, table, columns, path=path):
                yield file


def gathered(tables: Iterable[pa.Table]) -> list[pa.Table]:
    """Joins many small tables to few, which take less memory."""
    tables, few = iter(tables), []
    while some := list(itertools.islice(tables, _JOINED)):
        few.append(pa.concat_tables(some).combine_chunks())
    return few


def write_large(storage: Storage, rows: pa.Table, table: str) -> None:
    """Writes rows, which are sorted by run_id, as a large file; writes none without rows."""
    assert rows.schema.names == list(SCHEMAS[table])
    if rows.num_rows:
        data = to_bytes(rows, table)
        digest = checksum.fingerprint(data)[:_DIGEST]
        name = f"{rows['run_id'][0]}-{rows['run_id'][-1]}-{digest}{_SUFFIX}"
        storage.write(f"tables/{table}/compacted/{name}", data)


def drop(storage: Storage, file: TableFile, run_ids: Collection[str]) -> None:
    """Takes runs out of a large file, which must have been read with all its columns."""
    if not file.counts.keys().isdisjoint(run_ids):
        write_large(storage, file.without(run_ids), file.table)
        storage.delete_file(file.path)


def large_file(storage: Storage, table: str, path: str) -> TableFile | None:
    """Reads the large file at a path with all its columns; None if it is gone or damaged."""
    file = _examined(storage, table, path=path)
    return file if isinstance(file, TableFile) else None


def may_rewrite(file: TableFile, share: Collection[str] | None) -> bool:
    """Returns whether whoever is in charge of a share of the streams may rewrite a file.

    Args:
        file: with its column ``stream_run_id``.
        share: the streams, with all runs that stand on them; None: all.
    """
    if share is None:
        return True
    return set(file.rows["stream_run_id"].unique().to_pylist()) <= set(share)


def schema_of(table: str) -> pa.Schema:
    return pa.schema(list(SCHEMAS[table].items()))


def to_bytes(rows: pa.Table, table: str) -> bytes:
    """Returns the contents of a table's file."""
    sink = pa.BufferOutputStream()
    marked = rows.replace_schema_metadata({_MARK: _mark(table, rows.schema.names)})
    pq.write_table(marked, sink, write_page_checksum=True)
    return bytes(sink.getvalue())


def _mark(table: str, columns: Iterable[str]) -> bytes:
    return hashlib.sha256(",".join([table, *columns]).encode()).hexdigest()[:_DIGEST].encode()


#: Large files never change: the runs of those that were looked into last, by storage and path.
_held: dict[tuple[str, str], frozenset[str]] = {}
_MOST_HELD = 1000


def _may_hold(storage: Storage, table: str, path: str, run_id: str) -> bool:
    """Returns whether a large file holds a run, or is damaged."""
    parts = path.rpartition("/")[2].split("-")
    if len(parts) == 3 and not parts[0] <= run_id <= parts[1]:
        return False
    key = storage.root, path
    if key not in _held:
        file = _examined(storage, table, ["run_id"], path=path)
        if not isinstance(file, TableFile):
            return True
        while len(_held) >= _MOST_HELD:
            del _held[next(iter(_held))]
        _held[key] = frozenset(file.counts)
    return run_id in _held[key]


def _examined(
    storage: Storage,
    table: str,
    columns: Sequence[str] | None = None,
    *,
    run_id: str = "",
    path: str = "",
) -> TableFile | DamagedFileError | None:
    """Reads a run's small file, or the large one at a path; returns None if it is gone."""
    try:
        path = path or small_path(table, run_id)
        return storage.read_whole(path, lambda data: _read(data, path, table, columns, run_id))
    except DamagedFileError as damage:
        return damage


def _as_declared(column: pa.ChunkedArray, declared: pa.DataType) -> pa.ChunkedArray:
    # Without a reason to, it would take as long as reading the column.
    return column if column.type == declared else column.cast(declared)


def _read(
    data: bytes, path: str, table: str, columns: Sequence[str] | None, run_id: str
) -> TableFile:
    """Reads ``run_id`` and other columns, and checks them; a column that the file lacks is null."""
    digest = checksum.fingerprint(data)
    in_name = path.removesuffix(_SUFFIX).rpartition("-")[2]
    if not run_id and digest[:_DIGEST] != in_name:
        raise DamagedFileError(path, "its checksum does not fit")
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
            _as_declared(found[field.name], field.type)
            if field.name in there
            else pa.nulls(found.num_rows, field.type)
            for field in schema
        ]
        rows = pa.Table.from_arrays(arrays, schema=schema)
        rows.validate(full=True)
    except _UNREADABLE as error:
        raise DamagedFileError(path, str(error)) from None
    values = pc.value_counts(rows["run_id"].combine_chunks()).to_pylist()
    counts = {value["values"]: value["counts"] for value in values}
    if run_id and counts.keys() - {run_id}:
        raise DamagedFileError(path, "it holds rows of another run")
    if not all(found_id and RUN_ID.fullmatch(found_id) for found_id in counts):
        raise DamagedFileError(path, "it holds rows of no run")
    counts = {run_id: rows.num_rows} if run_id else counts
    return TableFile(path, table, counts, rows, digest if mark else None)
