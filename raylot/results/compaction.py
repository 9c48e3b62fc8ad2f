"""Gathers the small files of ended runs in few large ones.

A compaction does so with all of them, while no sweep runs. A sweep does so with those of its runs,
some at a time. If either is killed, nothing is lost, and the next one goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from raylot.results import files
from raylot.results.integrity import ended_runs
from raylot.results.manifest import COLUMNS, LATEST, Manifest
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
            _drop_twice(storage, table, lease.check)
            fresh = [run_id for run_id in files.small_runs(storage, table) if run_id in ended]
            if len(fresh) > 1:
                _gather(storage, table, fresh, ended, lease.check)
            yield Compacted(table, before, _count(storage, table))


def gather(storage: Storage, run_ids: Iterable[str], check: Callable[[], None]) -> None:
    """Gathers the small files of some runs, which have ended and do not grow.

    The caller must hold the storage's lease, or that of the runs' share.

    Args:
        storage: where.
        run_ids: the runs; failed ones and those with damaged files are left as they are.
        check: raises an error if the lease is lost; called before each change.
    """
    run_ids = sorted(run_ids)
    ended: dict[str, Manifest] = {}
    for own in files.undamaged(files.small_files(storage, "runs", run_ids, COLUMNS)):
        for row in own.rows.to_pylist():
            with suppress(ValueError):  # damaged: whoever inspects the storage says so
                ended[own.run_id] = Manifest.of(row)
    fresh = [run_id for run_id, run in ended.items() if run.status != "failed"]
    for table in SCHEMAS if len(fresh) > 1 else ():
        _gather(storage, table, fresh, ended, check)


def drop_twice(
    storage: Storage, check: Callable[[], None], share: Collection[str] | None = None
) -> None:
    """Takes runs out of large files that have a small file too, as a kill has left them.

    The caller must hold the storage's lease; arguments as of `gather` and
    `raylot.results.drop_replaced`.
    """
    for table in SCHEMAS:
        _drop_twice(storage, table, check, share)


def _drop_twice(
    storage: Storage,
    table: str,
    check: Callable[[], None],
    share: Collection[str] | None = None,
) -> None:
    small = set(files.small_runs(storage, table))
    counted, twice = set[str](), []
    for file in files.undamaged(files.large_files(storage, table, ["run_id"])):
        both = files.small_files(storage, table, file.counts.keys() & small)
        counted |= {own.run_id for own in files.undamaged(both)}
        if (others := counted & file.counts.keys()) and files.may_rewrite(file, share):
            twice.append((file.path, others))
        counted |= file.counts.keys()
    for path, others in twice:
        check()
        files.drop_at(storage, table, path, others)


def _gather(
    storage: Storage,
    table: str,
    fresh: Iterable[str],
    ended: Mapping[str, Manifest],
    check: Callable[[], None],
) -> None:
    """Gathers the small files of runs, which are sorted."""
    own_files = files.undamaged(files.small_files(storage, table, fresh))
    for paths, rows in _batches(
        own for own in own_files if not ended[own.run_id].wrong(table, own)
    ):
        check()
        files.write_large(storage, rows, table)
        for path in paths:
            storage.delete_file(path)


def _batches(small: Iterable[files.TableFile]) -> Iterator[tuple[list[str], pa.Table]]:
    """Yields the paths of the small files that go into one large file each, and their rows."""
    small = iter(small)
    while True:
        paths: list[str] = []

        def of_one(paths: list[str] = paths) -> Iterator[pa.Table]:
            rows = 0
            for own in small:
                paths.append(own.path)
                rows += own.rows.num_rows
                yield own.rows
                if len(paths) >= _MOST_RUNS or rows >= _MOST_ROWS:
                    return

        joined = files.gathered(of_one())
        if not paths:
            return
        yield paths, pa.concat_tables(joined).combine_chunks()


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
