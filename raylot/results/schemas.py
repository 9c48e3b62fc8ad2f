"""The schema of every result table, and how a run's identity and options fill its columns."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from raylot.config import StreamRun
from raylot.results.columns import COLUMNS, IDENTITY

#: Table name -> column name -> Arrow type. One row per: finished run (runs), run and task
#: (tasks), snapshot, layer and metric (plasticity), snapshot or fresh network and probe task
#: (probes), snapshot and pair of its copies, or search and pair of its tickets (barriers), copy of
#: a snapshot, sparsity, epoch and what a mask is compared with (mask_distances), snapshot,
#: sparsity, ticket and round (tickets), snapshot, sparsity, pair of masks and layer (overlaps),
#: snapshot, sparsity, selection and layer (plastic_parameters), snapshot and sparsity (snapshots).
SCHEMAS: dict[str, dict[str, pa.DataType]] = {
    table: {name: column.type for name, column in columns.items()}
    for table, columns in COLUMNS.items()
}


def identity_columns(run: StreamRun) -> dict[str, Any]:
    """Returns the columns that begin every row of a run."""
    unused = run.unused_options
    return {name: None if name in unused else getattr(run, name) for name in IDENTITY}


def option_values(run: StreamRun) -> dict[str, Any]:
    """Returns a run's options as values of ``runs``: lists as ``256,256``, unused options null."""
    values: dict[str, Any] = dict.fromkeys(run.unused_options)
    for name, value in run.model_dump(mode="json", exclude=run.unused_options).items():
        values[name] = ",".join(map(str, value)) if isinstance(value, list) else value
    return values
