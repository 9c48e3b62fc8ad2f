"""Lets ended runs grow: what they have found becomes the state from which they continue."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from raylot import results
from raylot.config import StreamRun
from raylot.results.manifest import Manifest
from raylot.results.schemas import IDENTITY
from raylot.storage import Storage
from raylot.storage.checksum import DamagedFileError
from raylot.trials.record import COMPUTED_BY
from raylot.trials.state import RunState, state_path

#: Stands between two notes in a row of ``runs``.
_BETWEEN = "; "


def reopen(storage: Storage, runs: Collection[StreamRun]) -> None:
    """Makes ended runs count as begun, so that trials continue them.

    The caller must hold the storage's lease. A run whose rows are damaged starts anew.
    """
    for run in runs:
        with suppress(DamagedFileError):
            state = _found_so_far(storage, run.run_id)
            state.describe(run)
            storage.write(state_path(run.run_id), state.to_bytes())
    # Only now: if this process is killed before, the next one reopens the runs once more.
    results.forget_runs(storage, [run.run_id for run in runs], tables=["runs"])


def _found_so_far(storage: Storage, run_id: str) -> RunState:
    """Returns an ended run's state: its rows, files and times.

    Raises:
        DamagedFileError: its rows are damaged, or not those that it wrote.
    """
    (row,) = results.read_run(storage, "runs", run_id) or []
    end = Manifest.of(row)
    rows = {
        table: [
            {name: value for name, value in row.items() if name not in IDENTITY}
            for row in results.read_run(storage, table, run_id, end) or []
        ]
        for table in end.tables
    }
    return RunState(
        started=row["started"].isoformat(),
        training_steps=row["training_steps"],
        seconds=row["seconds"],
        training_seconds=row["training_seconds"],
        plasticity_seconds=row["plasticity_seconds"],
        engines=row["engine_used"].split(",") if row["engine_used"] else [],
        artifacts=end.artifacts,
        inputs=dict(end.inputs or {}),
        # A search makes its remarks again, as they depend on the number of tickets.
        notes=row["notes"].split(_BETWEEN) if row["notes"] and end.kind == StreamRun.kind else [],
        extent=end.extent,
        has_latest=end.has_latest,
        computed_by={name: row[name] for name in COMPUTED_BY},
        rows=rows,
    )
