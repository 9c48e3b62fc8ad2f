"""Writes tables run by run, and reads them: whole, or one run's rows."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from raylot.foundation.errors import OptionError, shown
from raylot.results import files
from raylot.results.manifest import Manifest
from raylot.results.schemas import SCHEMAS
from raylot.storage import Storage, checksum
from raylot.storage.checksum import DamagedFileError

if TYPE_CHECKING:  # takes a moment, which a sweep need not wait for
    import pandas as pd

#: The first version of raylot whose storages this one works on.
_OLDEST = "0.2.0"

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


def opened(root: str | Path | Storage) -> Storage:
    """Returns the storage at a folder or URI; one given as `Storage` may still be empty.

    Raises:
        OptionError: the folder or URI holds no tables.
    """
    if isinstance(root, Storage):
        return root
    storage = Storage(root)
    if not storage.exists("tables"):
        raise OptionError(
            f"storage={storage.root}: must be the folder or URI of a raylot storage (it has no "
            "tables)"
        )
    return storage


def write(storage: Storage, table: str, run_id: str, rows: Iterable[Mapping[str, Any]]) -> str:
    """Replaces one run's rows of one table, atomically; columns that a row lacks are null.

    Returns:
        The digest of the file, for the run's manifest.

    Raises:
        KeyError: a row has a column that the table lacks.
    """
    schema = files.schema_of(table)
    rows = list(rows)
    unknown = {column for row in rows for column in row} - set(schema.names)
    if unknown:
        raise KeyError(f"table {table} has no column {', '.join(sorted(unknown))}")
    data = files.to_bytes(pa.Table.from_pylist(rows, schema=schema), table)
    storage.write(files.small_path(table, run_id), data)
    return checksum.fingerprint(data)


def read_run(
    storage: Storage,
    table: str,
    run_id: str,
    manifest: Manifest | None = None,
    columns: Sequence[str] | None = None,
) -> list[dict[str, Any]] | None:
    """Returns one run's rows of one table; None if it has none yet.

    With the run's manifest, compares its file with what the manifest says that the run wrote. With
    few columns, reading takes less time.

    Raises:
        DamagedFileError: the run's small file is damaged, or not the one that the run wrote.
    """
    for own in files.small_files(storage, table, [run_id], columns):
        if isinstance(own, DamagedFileError):
            raise own
        if manifest and (reason := manifest.wrong(table, own)):
            raise DamagedFileError(own.path, reason)
        return list(own.rows.to_pylist())
    for file in files.undamaged(files.large_files(storage, table, columns, run_id=run_id)):
        if run_id in file.counts:
            return list(file.without(file.counts.keys() - {run_id}).to_pylist())
    return None


def read(
    root: str | Path | Storage, table: str, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Returns a whole table, of all runs; without rows if none was written yet.

    Args:
        root: the storage's folder or URI, or the storage itself, which may still be empty.
        table: one of `SCHEMAS`.
        columns: of the table; None: all. Few columns take less time and memory.

    Raises:
        OptionError: there is no such table or column, the folder or URI holds no tables, or
            (``runs`` alone says so) an older raylot has written them.
    """
    if table not in list(SCHEMAS):  # a list may be asked for a value that has no hash
        raise OptionError(f"table={shown(table)}: must be one of {', '.join(SCHEMAS)}")
    if unknown := [name for name in columns or () if name not in SCHEMAS[table]]:
        told = ", ".join(map(shown, unknown))
        raise OptionError(f"columns={told}: must be of {table}: {', '.join(SCHEMAS[table])}")
    storage = opened(root)
    read_too = columns if columns is None or table != "runs" else [*columns, "raylot_version"]
    counted: set[str] = set()

    def small() -> Iterator[pa.Table]:
        run_ids = files.small_runs(storage, table)
        for own in files.undamaged(files.small_files(storage, table, run_ids, read_too)):
            counted.add(own.run_id)
            yield own.rows

    parts = files.gathered(small())
    for file in files.undamaged(files.large_files(storage, table, read_too)):
        parts.append(file.without(counted))
        counted |= file.counts.keys()
    if not parts:
        parts.append(files.schema_of(table).empty_table())
    found = pa.concat_tables(parts)
    if table == "runs":
        _check_versions(storage, found["raylot_version"].unique().to_pylist())
    chosen = found.select(list(SCHEMAS[table] if columns is None else columns))
    frame: pd.DataFrame = chosen.to_pandas()
    return frame


def check_version(storage: Storage) -> None:
    """Refuses a storage that an older raylot has written: today's runs would not match its runs.

    Raises:
        OptionError: it has runs of a version before `_OLDEST`.
    """
    read(storage, "runs", ["run_id"])


def _check_versions(storage: Storage, versions: Iterable[str | None]) -> None:
    for version in versions:
        if _numbers(version or "") < _numbers(_OLDEST):
            raise OptionError(
                f"storage={storage.root}: must have been written by raylot {_OLDEST} or newer, not "
                f"{version}: runs of before had other identities; read it with raylot {version}, "
                "or choose another folder"
            )


def _numbers(version: str) -> tuple[int, ...]:
    """``0.10.0`` -> 0, 10, 0; what is no version counts as the newest of all."""
    found = _VERSION.fullmatch(version)
    return tuple(map(int, found.groups())) if found else (10**9,)


def finished_runs(storage: Storage) -> set[str]:
    """Returns the run_ids of ended runs: finished, diverged and failed ones.

    Lists small files without opening them: `raylot.results.integrity.inspect` finds damaged ones.
    """
    large = files.undamaged(files.large_files(storage, "runs", ["run_id"]))
    return set(files.small_runs(storage, "runs")).union(*(file.counts for file in large))


def drop_replaced(
    storage: Storage, run_ids: Collection[str], share: Collection[str] | None = None
) -> None:
    """Deletes rows in large files of runs that have grown since, so that plain pandas reads none.

    The caller must hold the storage's lease, as large files are rewritten: of a share, those alone
    that hold no other runs. In others the old rows stay until the next compaction; raylot itself
    reads the new ones.

    Args:
        storage: where.
        run_ids: the runs that have grown.
        share: the streams of the caller's share; None: it is in charge of all.
    """
    for table in SCHEMAS if run_ids else ():
        replaced = set(files.small_runs(storage, table)).intersection(run_ids)
        for file in files.undamaged(files.large_files(storage, table)) if replaced else ():
            if files.may_rewrite(file, share):
                files.drop(storage, file, replaced)


def forget_runs(
    storage: Storage, run_ids: Collection[str], share: Collection[str] | None = None
) -> set[str]:
    """Deletes all rows of some runs, so that the next sweep computes them again.

    The caller must hold the storage's lease, as large files are rewritten: of a share, those alone
    that hold no other runs.

    Args:
        storage: where.
        run_ids: the runs to forget.
        share: the streams of the caller's share; None: it is in charge of all.

    Returns:
        The runs that could not be forgotten, as their row in ``runs`` lies among those of runs of
        other shares.
    """
    if not run_ids:
        return set()
    kept = set[str]()
    for file in files.undamaged(files.large_files(storage, "runs", ["stream_run_id"])):
        if not files.may_rewrite(file, share):
            kept |= file.counts.keys() & set(run_ids)
    forgotten = set(run_ids) - kept
    # ``runs`` comes first: even if this is killed, no ended run lacks rows
    for table in SCHEMAS:
        for run_id in set(files.small_runs(storage, table)).intersection(forgotten):
            storage.delete_file(files.small_path(table, run_id))
        for file in files.undamaged(files.large_files(storage, table)):
            if files.may_rewrite(file, share):
                files.drop(storage, file, forgotten)
    return kept
