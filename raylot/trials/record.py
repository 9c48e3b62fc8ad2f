"""How a run ended, as its row of the ``runs`` table."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Literal

import torch

from raylot import results
from raylot.config import StreamRun
from raylot.foundation.names import WHOLE_NETWORK
from raylot.foundation.version import VERSION
from raylot.results.manifest import Manifest
from raylot.results.schemas import IDENTITY
from raylot.storage import Storage
from raylot.trials.state import RunState

Status = Literal["finished", "diverged", "failed"]

#: Columns of ``tasks`` and ``snapshots`` that are no measures.
_NO_MEASURES = {
    "subnetwork", "stream_run_id", "snapshot", "sparsity", "ticket", "task", "protocol", "rounds",
    "tickets", "tolerance",
}  # fmt: skip


def now() -> str:
    """Returns the time in ISO 8601, UTC."""
    return datetime.now(UTC).isoformat()


def log(line: str) -> None:
    """Prints a line with the time, in UTC, to standard output: Ray keeps it in the worker's log."""
    print(f"{datetime.now(UTC).isoformat(sep=' ', timespec='seconds')} {line}", flush=True)


def closing_measures(state: RunState) -> dict[str, float]:
    """Returns the last value of each measure in the run's tables, to compare ended runs by."""
    closing: dict[str, Any] = {
        row["metric"]: row["value"]
        for row in state.rows.get("plasticity", [])
        if row["layer"] == WHOLE_NETWORK
    }
    for table in ("tasks", "snapshots"):
        for row in state.rows.get(table, [])[-1:]:
            closing |= {name: value for name, value in row.items() if name not in _NO_MEASURES}
    return closing


def reopened(storage: Storage, run_id: str) -> RunState:
    """Returns the state from which an ended run grows: all that it has found.

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
        extent=end.extent,
        rows=rows,
    )


def run_row(
    run: StreamRun,
    state: RunState,
    status: Status,
    error: str = "",
    device: str | None = None,
) -> dict[str, Any]:
    """Returns the row of ``runs`` that marks a run as ended.

    Args:
        run: its options.
        state: what the run has done and written.
        status: how it ended.
        error: why it failed, in one line.
        device: the name of the device that computed it; None if that is not known.
    """
    files = state.tables | state.artifacts
    return {
        **results.option_values(run),
        **results.identity_columns(run),
        "kind": run.kind,
        "status": status,
        "error": error or None,
        "notes": "; ".join(state.notes) or None,
        "stream_run_id": run.stream.run_id,
        "protocol": run.protocol,
        "training_steps": state.training_steps,
        "seconds": state.seconds,
        "training_seconds": state.training_seconds,
        "plasticity_seconds": state.plasticity_seconds,
        "started": datetime.fromisoformat(state.started),
        "device_used": device,
        "engine_used": ",".join(state.engines) or None,
        "files": json.dumps(files, sort_keys=True),
        "inputs": json.dumps(state.inputs, sort_keys=True),
        "raylot_version": VERSION,
        "torch_version": str(torch.__version__),
        "ray_version": version("ray"),
    }
