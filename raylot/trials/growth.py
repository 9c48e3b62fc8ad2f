"""Lets ended runs grow: what they have found is the state from which their trials go on.

While a run grows, its rows and its row in ``runs`` stay those of before: what is new lies in the
saved state, until the run has reached what is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raylot import results
from raylot.config import StreamRun, TicketsRun
from raylot.results.columns import IDENTITY
from raylot.results.manifest import Manifest
from raylot.storage import Storage
from raylot.trials.record import BETWEEN_NOTES
from raylot.trials.state import RunState


def grown_from(storage: Storage, run: StreamRun) -> RunState | None:
    """Returns the state from which a run grows; None if there is nothing to grow from.

    Raises:
        DamagedFileError: what the run has found is damaged, or not what it wrote.
    """
    for row in results.read_run(storage, "runs", run.run_id) or []:
        end = Manifest.of(row)
        if end.status == "finished" and not run.is_covered_by(end.extent):
            return _found_so_far(storage, row, end)
    return None


def _found_so_far(storage: Storage, row: Mapping[str, Any], end: Manifest) -> RunState:
    rows = {
        table: [
            {name: value for name, value in row.items() if name not in IDENTITY}
            for row in results.read_run(storage, table, end.run_id, end) or []
        ]
        for table in end.tables
    }
    # A search makes its remarks again, as they depend on the number of tickets.
    notes = "" if end.kind == TicketsRun.kind else row["notes"] or ""
    return RunState(
        started=row["started"].isoformat(),
        training_steps=row["training_steps"],
        seconds=row["seconds"],
        training_seconds=row["training_seconds"],
        plasticity_seconds=row["plasticity_seconds"],
        engines=row["engine_used"].split(",") if row["engine_used"] else [],
        artifacts=end.artifacts,
        inputs=dict(end.inputs or {}),
        notes=notes.split(BETWEEN_NOTES) if notes else [],
        extent=end.extent,
        grows=True,
        has_latest=end.has_latest,
        computed_by=", ".join(filter(None, (row["device_used"], row["engine_used"]))),
        rows=rows,
    )
