"""Is everything that ended runs have written still there, and as it was written?

An ended run's row in ``runs`` says how many rows it has in each table, which artifacts it has left
and which it started from. Files carry checksums (`raylot.seal`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from raylot import seal
from raylot.results import files
from raylot.results.schemas import SCHEMAS
from raylot.results.tables import forget_runs
from raylot.seal import DamagedFileError
from raylot.storage import Storage

_RUN_COLUMNS = ["run_id", "kind", "status", "files", "inputs"]

_GONE = "is not there"

# In place of a number of rows: their file is damaged, and has been named.
_NAMED_ALREADY = -1

# Artifacts that are read at once.
_AT_ONCE = 8


@dataclass(frozen=True)
class Damage:
    """Something that is not as it was written.

    Attributes:
        path: a file in the storage, or what should be there.
        reason: what is wrong with it.
        run_ids: the ended runs that have to be computed again for it.
        is_file: whether there is a damaged file at that path, to be set aside.
    """

    path: str
    reason: str
    run_ids: tuple[str, ...] = ()
    is_file: bool = True

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass
class Inspection:
    """What was found in a storage.

    Attributes:
        runs: the ended runs: run_id -> its row of ``runs``, as far as read here.
        damages: what is not as it was written.
    """

    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    damages: list[Damage] = field(default_factory=list)

    @property
    def to_compute_again(self) -> list[str]:
        """The ended runs that something is wrong with, each once."""
        return list(dict.fromkeys(run for damage in self.damages for run in damage.run_ids))


def inspect(
    storage: Storage, run_ids: Collection[str] | None = None, *, artifacts: bool = False
) -> Inspection:
    """Looks for damage in the tables, and in all other files if asked to; changes nothing.

    Args:
        storage: where.
        run_ids: the runs to look at; None: all.
        artifacts: whether to read snapshots, masks and saved states too. Whoever uses one of them
            checks it anyway.
    """
    found = Inspection()
    chosen = None if run_ids is None else set(run_ids)
    rows = {table: Counter[str]() for table in SCHEMAS}
    lost: dict[str, list[DamagedFileError]] = {}
    for table in ("runs", *(table for table in SCHEMAS if table != "runs")):
        lost[table] = _inspect_table(storage, table, chosen, found, rows[table])
    found.damages += _missing_rows(found.runs, rows, lost)
    found.damages += _changed_inputs(storage, found.runs)
    if artifacts:
        _inspect_artifacts(storage, found, chosen)
    return found


@dataclass(frozen=True)
class Unfinished:
    """A run that has not ended, as its saved state tells."""

    run_id: str
    kind: str
    label: str
    steps: int
    of: int
    protocol: str = ""
    plugins: str | None = None

    def __str__(self) -> str:
        return f"{self.label} ({self.run_id}), {self.steps} of {self.of} steps saved"


def unfinished_runs(storage: Storage, ended: Collection[str]) -> list[Unfinished]:
    """The runs with a saved state that have not ended; without those whose state is damaged."""
    unfinished = []
    for run_id in storage.names("state"):
        if run_id in ended:
            continue
        for name in storage.names(f"state/{run_id}"):
            with suppress(ValueError, KeyError, TypeError):
                state = metadata(storage.read_sealed(f"state/{run_id}/{name}") or b"")["state"]
                told = json.loads(state)
                known = {name: told[name] for name in ("kind", "label", "steps", "of")}
                known |= {name: told[name] for name in ("protocol", "plugins") if name in told}
                unfinished.append(Unfinished(run_id, **known))
    return unfinished


def metadata(tensors: bytes) -> dict[str, str]:
    """The metadata of a safetensors file, read without torch.

    Raises:
        ValueError: the bytes are no such file, or it has none.
    """
    length = int.from_bytes(tensors[:8], "little")
    try:
        return dict(json.loads(tensors[8 : 8 + length])["__metadata__"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a safetensors file with metadata: {error!r}") from None


def mend(storage: Storage, damages: Iterable[Damage]) -> None:
    """Makes runs with damage count as unfinished, and moves damaged files to ``damaged/``."""
    damages = list(damages)
    forget_runs(storage, {run_id for damage in damages for run_id in damage.run_ids})
    for path in dict.fromkeys(damage.path for damage in damages if damage.is_file):
        storage.set_aside(path)


def _inspect_table(
    storage: Storage,
    table: str,
    chosen: Collection[str] | None,
    found: Inspection,
    rows: Counter[str],
) -> list[DamagedFileError]:
    """Adds a table's damage, ended runs and rows per run; returns its damaged large files.

    Small files before large ones: a compaction in between moves rows from those to these.
    """
    columns = _RUN_COLUMNS if table == "runs" else ["run_id"]
    small = files.small_runs(storage, table)
    wanted = small if chosen is None else [run_id for run_id in small if run_id in chosen]
    read: set[str] = set()
    for run_id, own in files.examine_small(storage, table, wanted, columns):
        read.add(run_id)
        if isinstance(own, DamagedFileError):
            again = (run_id,) if run_id in found.runs else ()
            found.damages.append(Damage(own.path, own.reason, again))
            rows[run_id] = _NAMED_ALREADY
            continue
        rows[run_id] = own.num_rows
        if table == "runs":
            found.runs.update({row["run_id"]: row for row in own.to_pylist()})
    lost = []
    for file in files.examine_large(storage, table):
        if isinstance(file, DamagedFileError):
            lost.append(file)
            found.damages.append(Damage(file.path, file.reason))
            continue
        added = file.rows.keys() - read if chosen is None else (file.rows.keys() & chosen) - read
        rows.update({run_id: file.rows[run_id] for run_id in added})
        read |= added
        if table == "runs" and added:
            told = file.read(columns=columns).to_pylist()
            found.runs.update({row["run_id"]: row for row in told if row["run_id"] in added})
    return lost


def _written(row: Mapping[str, Any], column: str) -> dict[str, Any]:
    """What a run says of its files; nothing if it ended before runs said so, or failed."""
    text = row[column] if row["status"] != "failed" else None
    return dict(json.loads(text)) if text else {}


def _missing_rows(
    runs: Mapping[str, dict[str, Any]],
    rows: Mapping[str, Mapping[str, int]],
    lost: Mapping[str, Sequence[DamagedFileError]],
) -> Iterator[Damage]:
    """Runs that have not as many rows in a table as they wrote."""
    for table in SCHEMAS:
        incomplete = []
        for run_id, row in runs.items():
            expected, there = _written(row, "files").get(table), rows[table].get(run_id, 0)
            if expected is None or there in (expected, _NAMED_ALREADY):
                continue
            if lost[table]:
                incomplete.append(run_id)
            else:
                path = files.small_path(table, run_id)
                reason = f"{there} of the run's {expected} rows are there"
                yield Damage(path, reason, (run_id,), is_file=False)
        if incomplete:
            reason = f"{len(incomplete)} runs had their rows there"
            yield Damage(lost[table][0].path, reason, tuple(incomplete))


def _changed_inputs(storage: Storage, runs: Mapping[str, dict[str, Any]]) -> Iterator[Damage]:
    """Runs that started from what has since been computed anew, and came out otherwise."""
    for run_id, row in runs.items():
        for path, checksum in _written(row, "inputs").items():
            producer = runs.get(path.split("/")[1])
            told = _written(producer, "files").get(path) if producer else None
            if producer is None or told in (None, checksum):
                continue
            data = storage.read(path)
            if data is not None and seal.fingerprint(data) == checksum:
                reason = f"is not what {producer['kind']} {producer['run_id']} says it wrote"
                yield Damage(path, reason, (producer["run_id"], run_id), is_file=False)
            else:
                reason = f"is not what {row['kind']} {run_id} started from"
                yield Damage(path, reason, (run_id,), is_file=False)


def _inspect_artifacts(storage: Storage, found: Inspection, chosen: Collection[str] | None) -> None:
    expected = {
        path: (run_id, checksum)
        for run_id, row in found.runs.items()
        for path, checksum in _written(row, "files").items()
        if path not in SCHEMAS
    }
    present = [
        f"{folder}/{run_id}/{name}"
        for folder in ("artifacts", "state")
        for run_id in storage.names(folder)
        if chosen is None or run_id in chosen
        for name in storage.names(f"{folder}/{run_id}")
    ]
    paths = list(dict.fromkeys([*expected, *present]))

    def wrong(path: str) -> str | None:
        try:
            data = storage.read_sealed(path)
        except DamagedFileError as damage:
            return damage.reason
        if data is None:
            return _GONE if path in expected else None
        changed = path in expected and seal.fingerprint(data) != expected[path][1]
        return "is not what the run wrote" if changed else None

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for path, reason in zip(paths, threads.map(wrong, paths), strict=True):
            if reason:
                owner = path.split("/")[1]
                again = (owner,) if owner in found.runs and path.startswith("artifacts/") else ()
                found.damages.append(Damage(path, reason, again, reason != _GONE))
