"""Gathers the small files of ended runs in few large ones, while sweeps write and others read.

It may be killed at any moment and run twice at once: see `raylot.results.files`. What is left over
is tidied by the next compaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raylot.results import files
from raylot.results.schemas import SCHEMAS
from raylot.results.tables import read
from raylot.storage import Storage

# Bounds of one large file, which also bound the memory that writing it takes.
_MOST_RUNS, _MOST_ROWS = 25_000, 1_000_000


@dataclass(frozen=True)
class Compacted:
    """What became of one table: how many files it had, and has."""

    table: str
    before: int
    after: int


def compact(root: str | Path | Storage) -> list[Compacted]:
    """Compacts all tables of a storage, given as folder, URI or itself.

    Runs that have not ended keep their small files, as they still write them, and so do runs that
    failed, which may be tried again.
    """
    return list(compact_each(root if isinstance(root, Storage) else Storage(root)))


def compact_each(storage: Storage) -> Iterator[Compacted]:
    """`compact`, telling of each table as soon as it is done."""
    runs = read(storage, "runs", ["run_id", "status", "files"])
    runs = runs[runs["status"] != "failed"]
    ended = {
        run_id: json.loads(files) if isinstance(files, str) else {}
        for run_id, files in zip(runs["run_id"], runs["files"], strict=True)
    }
    for table in SCHEMAS:
        before = _count(storage, table)
        _compact(storage, table, ended)
        yield Compacted(table, before, _count(storage, table))


def _compact(storage: Storage, table: str, ended: Mapping[str, Mapping[str, Any]]) -> None:
    """Compacts one table; of each ended run is given how many rows it wrote in which table."""
    _hold_each_run_once(storage, table)
    small = [run_id for run_id in files.small_runs(storage, table) if run_id in ended]
    _sort_out(storage, table, {run_id: ended[run_id].get(table) for run_id in small})
    compacted = {run for file in files.large_files(storage, table) for run in file.rows}
    small = [run_id for run_id in files.small_runs(storage, table) if run_id in ended]
    fresh = [run_id for run_id in small if run_id not in compacted]
    if len(fresh) < 2:
        return
    for rows, gathered in _batches(storage, table, fresh):
        together = pa.concat_tables(gathered.tables())
        files.write_large(storage, files.large_path(table, rows), rows, together)
        for run_id in rows:
            storage.delete_file(files.small_path(table, run_id))


def _batches(
    storage: Storage, table: str, run_ids: Sequence[str]
) -> Iterator[tuple[dict[str, int], files.Gathered]]:
    """What goes into one large file each: run_id -> number of rows, and the rows."""
    rows: dict[str, int] = {}
    gathered = files.Gathered()
    for run_id, own in files.read_small(storage, table, run_ids):
        if not pc.all(pc.equal(own["run_id"], run_id), skip_nulls=False, min_count=0).as_py():
            continue  # rows that do not say whose they are could not be told from other runs' rows
        gathered.add(own)
        rows[run_id] = own.num_rows
        if len(rows) >= _MOST_RUNS or gathered.rows >= _MOST_ROWS:
            yield rows, gathered
            rows, gathered = {}, files.Gathered()
    if rows:
        yield rows, gathered


def _hold_each_run_once(storage: Storage, table: str) -> None:
    """Takes runs out of large files that come after another one that holds them."""
    found: set[str] = set()
    for file in files.large_files(storage, table):
        files.drop(storage, file, found & file.rows.keys())
        found |= file.rows.keys()


def _sort_out(storage: Storage, table: str, small: Mapping[str, int | None]) -> None:
    """Of runs that have a small file and are in a large one, keeps what is theirs.

    Args:
        storage: where.
        table: which.
        small: runs with a small file: run_id -> rows that the run says it wrote; None: it does not
            say so.
    """
    for file in files.large_files(storage, table):
        outdated = set()
        held: dict[str, pa.Table] = {}
        both = [run_id for run_id in small if run_id in file.rows]
        for run_id, own in files.read_small(storage, table, both):
            held = held or file.read_each()
            expected = small[run_id]
            if expected is None:  # attempts only ever add rows
                expected = max(own.num_rows, held[run_id].num_rows)
            # Where not, another attempt, thought lost, went on writing before it noticed.
            is_own = own.num_rows == expected
            is_held = held[run_id].num_rows == expected
            if is_held and (not is_own or _equal(own, held[run_id])):
                storage.delete_file(files.small_path(table, run_id))
            elif is_own:  # the run was computed again
                outdated.add(run_id)
        files.drop(storage, file, outdated)


def _equal(one: pa.Table, other: pa.Table) -> bool:
    """Whether two tables hold the same; unlike for Arrow, NaN is the same as NaN."""
    return one.equals(other) or bool(one.to_pandas().equals(other.to_pandas()))


def _count(storage: Storage, table: str) -> int:
    return len(files.small_runs(storage, table)) + len(files.large_files(storage, table))
