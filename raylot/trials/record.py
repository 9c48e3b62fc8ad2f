"""How a run ended, as its row of the ``runs`` table."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Literal

import torch

from raylot import results
from raylot.config import StreamRun
from raylot.foundation import registry
from raylot.foundation.names import WHOLE_NETWORK
from raylot.foundation.version import VERSION
from raylot.trials.state import RunState

Status = Literal["finished", "diverged", "failed"]

#: Columns of ``tasks`` and ``snapshots`` that are no measures.
_NO_MEASURES = {
    "subnetwork", "stream_run_id", "snapshot", "sparsity", "ticket", "task", "protocol", "rounds",
    "tickets", "tolerance", "test_examples",
}  # fmt: skip

#: Looks through a library's metadata, which would take a short run a percent of its time.
_version_of = functools.cache(version)

#: Stands between two notes in a row of ``runs``.
BETWEEN_NOTES = "; "


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
            closing |= {
                name: value
                for name, value in row.items()
                if name not in _NO_MEASURES and isinstance(value, int | float)
            }
    return closing


def run_row(
    run: StreamRun,
    state: RunState,
    status: Status,
    error: str = "",
    device: str | None = None,
    computer: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Returns the row of ``runs`` that marks a run as ended.

    Args:
        run: its options.
        state: what the run has done and written.
        status: how it ended.
        error: why it failed, in one line.
        device: the name of the device that computed it; None if that is not known.
        computer: what computed it, from `raylot.trials.computer`; None if that is not known.
    """
    files = state.tables | state.artifacts
    return {
        **results.option_values(run),
        **results.identity_columns(run),
        "kind": run.kind,
        "status": status,
        "error": error or None,
        "notes": BETWEEN_NOTES.join(sorted(state.notes)) or None,
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
        "ray_version": _version_of("ray"),
        "plugin_commits": registry.commits_of(run.plugins),
        **(computer or {}),
    }
