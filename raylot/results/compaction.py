"""Gathers the small files of ended runs in few large ones.

A compaction does so with all of them, while no sweep runs. A sweep does so with those of its runs,
some at a time. If either is killed, nothing is lost, and the next one goes on.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from raylot.results import files
from raylot.results.integrity import ended_runs
from raylot.results.manifest import COLUMNS, Manifest, latest_path
from raylot.results.schemas import SCHEMAS
from raylot.results.tables import check_version, opened
from raylot.storage import Storage
from raylot.storage.lease import Lease

# Small files that are deleted before the lease is looked at again.
_UNCHECKED = 20

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
        check: raises an error if the lease is lost, or the caller wants an end; called before each
            large file is written and every few deletions.
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
) -> set[str]:
    """Leaves one copy of runs that have a small file and lie in large ones too, as after a kill.

    A small file goes if a large one holds the same rows: whoever has gathered them may still be
    about to delete it, and neither order loses anything. Where they differ, the small file is
    newer, and the large one loses the run.

    The caller must hold the storage's lease; arguments as of `gather` and
    `raylot.results.drop_replaced`.

    Returns:
        The runs whose older rows stay, as they lie in one file with those of other shares.
    """
    return set[str]().union(*(_drop_twice(storage, table, check, share) for table in SCHEMAS))


def _drop_twice(
    storage: Storage,
    table: str,
    check: Callable[[], None],
    share: Collection[str] | None = None,
) -> set[str]:
    small = set(files.small_runs(storage, table))
    counted, stale, twice = set[str](), set[str](), []
    copies: dict[str, str] = {}
    for file in files.undamaged(files.large_files(storage, table, ["stream_run_id"])):
        is_ours = files.may_rewrite(file, share)
        older = set[str]()
        for own, is_copy in _in_both(storage, file, small):
            run_id = own.run_id
            if own.rows.num_rows and not files.may_rewrite(own, share):
                continue
            if is_copy:
                copies[run_id] = own.path
            elif is_ours:
                older.add(run_id)
            else:
                stale.add(run_id)
        others = older | (counted & file.counts.keys())
        if others and is_ours:
            twice.append((file.path, others))
        counted |= (file.counts.keys() - older) | stale
    for path, others in twice:
        check()
        if (whole := files.large_file(storage, table, path)) is not None:
            files.drop(storage, whole, others)
    _delete(storage, [path for run_id, path in copies.items() if run_id not in stale], check)
    return stale


def _in_both(
    storage: Storage, large: files.TableFile, small: Collection[str]
) -> Iterator[tuple[files.TableFile, bool]]:
    """Yields undamaged small files of runs of a large file, and whether both hold the same rows."""
    both = [run_id for run_id in large.counts if run_id in small]
    whole = files.large_file(storage, large.table, large.path) if both else None
    if whole is None:
        return
    starts = dict(
        zip(whole.counts, itertools.accumulate([0, *whole.counts.values()]), strict=False)
    )
    for own in files.undamaged(files.small_files(storage, large.table, both)):
        there = whole.rows.slice(starts[own.run_id], whole.counts[own.run_id])
        # As bytes, since a NaN does not equal itself.
        one, other = (files.to_bytes(r.combine_chunks(), own.table) for r in (own.rows, there))
        yield own, one == other


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
        _delete(storage, paths, check)


def _delete(storage: Storage, paths: Sequence[str], check: Callable[[], None]) -> None:
    for first in range(0, len(paths), _UNCHECKED):
        check()
        for path in paths[first : first + _UNCHECKED]:
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
    paths = map(latest_path, storage.names("artifacts"))
    present = [path for path in paths if storage.exists(path)]
    for path in present:
        storage.delete_file(path)
    return len(present)
