"""Result tables in Parquet: their columns, how runs write them, how analyses read them.

Sweeps write through this package and ``raylot.analysis`` reads through it. It imports neither torch
nor Ray.
"""

from raylot.results.compaction import compact
from raylot.results.schemas import SCHEMAS, identity_columns, option_values
from raylot.results.tables import (
    drop_replaced,
    finished_runs,
    forget_runs,
    read,
    read_run,
    write,
)

__all__ = [
    "SCHEMAS",
    "compact",
    "drop_replaced",
    "finished_runs",
    "forget_runs",
    "identity_columns",
    "option_values",
    "read",
    "read_run",
    "write",
]
