"""Checks that everything that ended runs have written is there, and as it was written."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydantic.dataclasses

from raylot.foundation.text import one_line
from raylot.results import commands, files
from raylot.results.files import RUN_ID, TableFile
from raylot.results.manifest import COLUMNS, LATEST, Manifest
from raylot.results.schemas import SCHEMAS
from raylot.results.tables import finished_runs, forget_runs
from raylot.storage import Storage, checksum
from raylot.storage.checksum import DamagedFileError

_GONE = "is not there"


@dataclass(frozen=True)
class Damage:
    """A file, or a part of one, that is not as it was written.

    Attributes:
        path: of the file in the storage, also if it is missing.
        reason: what is wrong with it.
        run_ids: the runs that must be computed again because of it.
        is_file: whether a damaged file lies at that path, to be set aside.
    """

    path: str
    reason: str
    run_ids: tuple[str, ...] = ()
    is_file: bool = True

    def __str__(self) -> str:
        return one_line(f"{self.path}: {self.reason}")


@dataclass
class Inspection:
    """The ended runs of a storage, and the damage.

    Attributes:
        runs: the ended runs, by run_id, without those whose row in ``runs`` is damaged.
        damages: what is not as it was written.
        growing: ended runs that have a saved state, as they have begun to grow: a kill may have
            left some of their new rows beside old ones.
    """

    runs: dict[str, Manifest] = field(default_factory=dict)
    damages: list[Damage] = field(default_factory=list)
    growing: set[str] = field(default_factory=set)

    @property
    def to_compute_again(self) -> list[str]:
        """The damaged runs, each once."""
        return list(dict.fromkeys(run for damage in self.damages for run in damage.run_ids))

    @property
    def undamaged(self) -> dict[str, Manifest]:
        """The ended runs that are not damaged, by run_id."""
        again = set(self.to_compute_again)
        return {run_id: run for run_id, run in self.runs.items() if run_id not in again}


def inspect_ends(
    storage: Storage,
    run_ids: Collection[str] | None = None,
    columns: Sequence[str] | None = COLUMNS,
) -> Inspection:
    """Reads the table ``runs``: which runs have ended, and what is damaged there.

    Args:
        storage: where.
        run_ids: the runs to look at; None: all.
        columns: to read and so to check; None: all.
    """
    found = Inspection()
    _inspect_table(storage, "runs", run_ids, found, columns)
    return found


def ended_runs(storage: Storage, run_ids: Collection[str] | None = None) -> dict[str, Manifest]:
    """Reads which runs have ended; returns them by run_id, without those whose row is damaged."""
    return inspect_ends(storage, run_ids).runs


def inspect(
    storage: Storage,
    run_ids: Collection[str] | None = None,
    *,
    ends: Inspection | None = None,
    artifacts: bool = False,
    is_idle: bool = True,
) -> Inspection:
    """Looks for damage in the tables, and in all other files if asked to; changes nothing.

    Args:
        storage: where.
        run_ids: the runs to look at; None: all.
        ends: what `inspect_ends` has just found, so that it need not be read again.
        artifacts: whether to read everything: all columns, snapshots, masks, saved states and
            noted commands. Trials check the files that they start from in any case.
        is_idle: whether no sweep works there. While one does, a run that is about to end looks like
            one whose row in ``runs`` is lost.
    """
    chosen = None if run_ids is None else set(run_ids)
    found = ends or inspect_ends(storage, chosen, None if artifacts else COLUMNS)
    found.growing = found.runs.keys() & storage.names("state")
    begun = set[str]()
    for table in filter("runs".__ne__, SCHEMAS):
        rows = _inspect_table(storage, table, chosen, found, None if artifacts else ["run_id"])
        begun |= rows.keys()
        found.damages += _missing_rows(table, found, rows)
    found.damages += _changed_inputs(found.runs)
    if artifacts:
        if is_idle:
            found.damages += _missing_ends(storage, begun)
        found.damages += _wrong_artifacts(storage, found, chosen)
        damaged = commands.unreadable(storage)
        found.damages += [Damage(path, "is no record of a command") for path in damaged]
    return found


@pydantic.dataclasses.dataclass(frozen=True, config={"extra": "ignore"})
class Unfinished:
    """A run that has not ended, as read from its saved state."""

    run_id: str
    kind: str
    label: str
    steps: int
    of: int
    protocol: str = ""
    plugins: str | None = None
    dose: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.label} ({self.run_id}), {self.steps} of {self.of} steps saved"


def unfinished_runs(storage: Storage, ended: Collection[str]) -> list[Unfinished]:
    """Reads the runs that have not ended from their saved states; skips damaged states."""
    unfinished = []
    for run_id in sorted(set(storage.names("state")).difference(ended)):
        for name in storage.names(f"state/{run_id}"):
            with suppress(ValueError, TypeError, KeyError, RecursionError):
                data = storage.read_checked(f"state/{run_id}/{name}") or b""
                state = json.loads(metadata(data)["state"])
                unfinished.append(Unfinished(**{**state, "run_id": run_id}))
    return unfinished


def metadata(tensors: bytes) -> dict[str, str]:
    """Reads the metadata of a safetensors file without torch.

    Raises:
        ValueError: the bytes are no such file, or the file has no metadata.
    """
    length = int.from_bytes(tensors[:8], "little")
    try:
        return dict(json.loads(tensors[8 : 8 + length])["__metadata__"])
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"not a safetensors file with metadata: {error!r}") from None


def begun_runs(storage: Storage) -> set[str]:
    """Returns the runs that have left snapshots or masks, or whose table was set aside."""
    folders = ["artifacts", *(f"damaged/tables/{table}" for table in SCHEMAS)]
    names = {name.removesuffix(".parquet") for f in folders for name in storage.names(f)}
    return {name for name in names - {"compacted"} if RUN_ID.fullmatch(name)}


def mend(
    storage: Storage, damages: Sequence[Damage], share: Collection[str] | None = None
) -> set[str]:
    """Moves damaged files to ``damaged/``, and makes the runs that wrote them count as unfinished.

    The caller must hold the storage's lease. Arguments and result as of
    `raylot.results.forget_runs`.
    """
    for path in dict.fromkeys(damage.path for damage in damages if damage.is_file):
        storage.set_aside(path)
    again = {run_id for damage in damages for run_id in damage.run_ids}
    kept = forget_runs(storage, again, share)
    for run_id in again - kept:  # a run that was about to grow has a state
        storage.delete_folder(f"state/{run_id}")
    return kept


# ------------------------------------------------------------------ tables


def _inspect_table(
    storage: Storage,
    table: str,
    chosen: Collection[str] | None,
    found: Inspection,
    columns: Sequence[str] | None,
) -> dict[str, int]:
    """Adds a table's damage, and the ended runs if it is ``runs``; counts the rows of each run."""
    rows: dict[str, int] = {}
    small = files.small_runs(storage, table)
    small = [run_id for run_id in small if chosen is None or run_id in chosen]
    for own in files.small_files(storage, table, small, columns):
        if not isinstance(own, DamagedFileError):
            rows |= own.counts
        if (reason := _wrong(table, own, found)) is not None:
            run_id = Path(own.path).stem
            is_known = RUN_ID.fullmatch(run_id) and (table == "runs" or run_id in found.runs)
            found.damages.append(Damage(own.path, reason, (run_id,) if is_known else ()))
    for file in files.large_files(storage, table, columns):
        if isinstance(file, DamagedFileError):
            found.damages.append(Damage(file.path, file.reason))
            continue
        others = {r for r in file.counts if r in rows or (chosen is not None and r not in chosen)}
        rows |= {run_id: file.counts[run_id] for run_id in file.counts.keys() - others}
        for row in file.without(others).select(COLUMNS).to_pylist() if table == "runs" else ():
            if reason := _add_end(row, found):
                found.damages.append(Damage(file.path, reason, (row["run_id"],), is_file=False))
    return rows


def _wrong(table: str, own: TableFile | DamagedFileError, found: Inspection) -> str | None:
    """Returns what is wrong with a small file; adds the ended run if it is one's row."""
    if isinstance(own, DamagedFileError):
        return own.reason
    if table == "runs":
        if own.rows.num_rows != 1:
            return f"holds {own.rows.num_rows} rows; must hold one"
        if reason := _add_end(own.rows.select(COLUMNS).to_pylist()[0], found):
            return reason
    ended = None if own.run_id in found.growing else found.runs.get(own.run_id)
    return ended.wrong(table, own) if ended else None


def _add_end(row: Mapping[str, Any], found: Inspection) -> str | None:
    """Adds an ended run; returns what is wrong with its row, if anything is."""
    try:
        found.runs[row["run_id"]] = Manifest.of(row)
    except ValueError as error:
        return str(error)
    return None


def _missing_rows(table: str, found: Inspection, rows: Mapping[str, int]) -> Iterator[Damage]:
    """Yields runs with fewer or more rows in a table than they wrote, if not yet reported."""
    reported = {damage.path for damage in found.damages}
    lost = sorted(path for path in reported if path.startswith(f"tables/{table}/compacted/"))
    incomplete = []
    for run_id, manifest in found.runs.items():
        (expected, _), there = manifest.tables.get(table, (0, None)), rows.get(run_id, 0)
        path = files.small_path(table, run_id)
        if not manifest.tells or run_id in found.growing:
            continue
        if there == expected or path in reported:
            continue
        if lost:
            incomplete.append(run_id)
        else:
            reason = f"{there} of the run's {expected} rows are there"
            yield Damage(path, reason, (run_id,), is_file=False)
    if incomplete:
        yield Damage(lost[0], f"{len(incomplete)} runs had their rows there", tuple(incomplete))


def _missing_ends(storage: Storage, run_ids: set[str]) -> Iterator[Damage]:
    """Yields the runs that have rows, but neither a row in ``runs`` nor a saved state."""
    rest = run_ids - set(storage.names("state")) - finished_runs(storage)
    if lost := tuple(sorted(filter(RUN_ID.fullmatch, rest))):
        reason = f"{len(lost)} runs have rows in other tables, but neither one here nor a state"
        yield Damage("tables/runs", reason, lost, is_file=False)


# ------------------------------------------------------------------ other files


def _changed_inputs(runs: Mapping[str, Manifest]) -> Iterator[Damage]:
    """Yields the runs whose input was computed again since, with another result."""
    for run in runs.values():
        for path, digest in (run.inputs or {}).items():
            producer = runs.get(path.split("/")[1])
            if producer is None or producer.artifacts.get(path) in (None, digest):
                continue
            reason = f"is not what {run.kind} {run.run_id} started from"
            yield Damage(path, reason, (run.run_id,), is_file=False)


def _wrong_artifacts(
    storage: Storage, found: Inspection, chosen: Collection[str] | None
) -> Iterator[Damage]:
    wrote = {path: sum_ for run in found.runs.values() for path, sum_ in run.artifacts.items()}
    present = [
        f"{folder}/{run_id}/{name}"
        for folder in ("artifacts", "state")
        for run_id in storage.names(folder)
        if chosen is None or run_id in chosen
        for name in storage.names(f"{folder}/{run_id}")
    ]
    paths = list(dict.fromkeys([*wrote, *present]))

    def wrong(path: str) -> str | None:
        def is_whole(data: bytes) -> bool:
            if path not in wrote:
                checksum.check(data, path)
            elif checksum.fingerprint(data) != wrote[path]:
                raise DamagedFileError(path, "it is not what the run wrote")
            return True

        try:
            return None if storage.read_whole(path, is_whole) or path not in wrote else _GONE
        except DamagedFileError as damage:
            return damage.reason

    def can_be_done_without(path: str) -> bool:
        return path.endswith(f"/{LATEST}")

    with ThreadPoolExecutor(files.AT_ONCE) as threads:
        for path, reason in zip(paths, threads.map(wrong, paths), strict=True):
            owner = path.split("/")[1]
            if can_be_done_without(path) and (reason == _GONE or owner in found.growing):
                continue
            if reason:
                is_needed = path.startswith("artifacts/") and not can_be_done_without(path)
                again = (owner,) if owner in found.runs and is_needed else ()
                yield Damage(path, reason, again, reason != _GONE)
