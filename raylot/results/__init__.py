"""Result tables in Parquet: their columns, writing them run by run, reading them back.

This package is the contract between the sweeps, which write, and ``analysis/``, which reads. It
imports neither torch nor Ray. ``raylot compact STORAGE`` gathers the small files
of many runs in few large ones.
"""

from raylot.results.compaction import compact
from raylot.results.schemas import SCHEMAS, identity_columns, option_values
from raylot.results.tables import finished_runs, forget_runs, read, read_run, write

__all__ = [
    "SCHEMAS",
    "compact",
    "finished_runs",
    "forget_runs",
    "identity_columns",
    "option_values",
    "read",
    "read_run",
    "write",
]
