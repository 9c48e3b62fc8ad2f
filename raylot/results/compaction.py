"""Gathers the small files of ended runs in few large ones, while no sweep runs.

A killed compaction loses nothing; the next one goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from raylot.results import files
from raylot.results.integrity import ended_runs
from raylot.results.manifest import LATEST, Manifest
from raylot.results.schemas import SCHEMAS
from raylot.results.tables import check_version, opened
from raylot.storage import Storage
from raylot.storage.lease import Lease

# Bounds of one large file, and so of the memory that writing it takes.
_MOST_RUNS, _MOST_ROWS = 5_000, 1_000_000


@dataclass(frozen=True)
class Compacted:
    """How many files a table had before its compaction, and has after it."""

    table: str
    before: int
    after: int


def compact(root: str | Path | Storage) -> list[Compacted]:
    """Compacts all tables of a storage, given as folder, as URI or as `Storage`.

    Three kinds of small files stay: those of runs that have not ended and still write them, those
    of failed runs, which may be tried again, and damaged files.

    Raises:
        OptionError: there are no tables, an older raylot has written them, or a sweep is in charge
            of the storage.
    """
    return list(compact_each(opened(root)))


def compact_each(
    storage: Storage, say: Callable[[str], None] = lambda line: None
) -> Iterator[Compacted]:
    """Compacts like `compact`; yields each table as soon as it is done.

    Args:
        storage: to compact.
        say: tells the user what the compaction waits for.
    """
    check_version(storage)
    with Lease(Storage.again(storage.root), say) as lease:
        runs = ended_runs(storage)
        ended = {run_id: run for run_id, run in runs.items() if run.status != "failed"}
        for table in SCHEMAS:
            before = _count(storage, table)
            _compact(storage, table, ended, lease)
            yield Compacted(table, before, _count(storage, table))


def _compact(storage: Storage, table: str, ended: Mapping[str, Manifest], lease: Lease) -> None:
    small = files.small_runs(storage, table)
    counted, twice = set[str](), []
    for file in files.undamaged(files.large_files(storage, table)):
        # A killed compaction leaves two files of a run.
        both = files.small_files(storage, table, file.counts.keys() & set(small))
        counted |= {own.run_id for own in files.undamaged(both)}
        if others := counted & file.counts.keys():
            twice.append((file, others))
        counted |= file.counts.keys()
    for file, others in twice:
        lease.check()
        files.drop(storage, file, others)
    fresh = [run_id for run_id in small if run_id in ended]
    if len(fresh) < 2:
        return
    own_files = files.undamaged(files.small_files(storage, table, fresh))
    for batch in _batches(own for own in own_files if not ended[own.run_id].wrong(table, own)):
        rows = pa.concat_tables([own.rows for own in batch])
        lease.check()
        files.write_large(storage, rows, table)
        for own in batch:
            storage.delete_file(own.path)


def _batches(small: Iterable[files.TableFile]) -> Iterator[list[files.TableFile]]:
    """Yields the small files that go into one large file each."""
    batch: list[files.TableFile] = []
    rows = 0
    for own in small:
        batch.append(own)
        rows += own.rows.num_rows
        if len(batch) >= _MOST_RUNS or rows >= _MOST_ROWS:
            yield batch
            batch, rows = [], 0
    if batch:
        yield batch


def _count(storage: Storage, table: str) -> int:
    return len(files.small_runs(storage, table)) + len(files.large_names(storage, table))


def drop_latest(storage: Storage) -> int:
    """Deletes the states after streams' last tasks; returns how many were there.

    The caller must hold the storage's lease.
    """
    paths = [f"artifacts/{run_id}/{LATEST}" for run_id in storage.names("artifacts")]
    present = [path for path in paths if storage.exists(path)]
    for path in present:
        storage.delete_file(path)
    return len(present)
