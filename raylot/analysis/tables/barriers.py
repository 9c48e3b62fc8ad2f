"""Barriers between two trainings from one snapshot: table ``barriers`` as measures."""

from __future__ import annotations

import pandas as pd

from raylot.analysis.tables.measures import differing

#: Measures, which are columns of ``barriers``.
_BARRIERS = ["test_error_barrier", "test_loss_barrier"]

#: Columns of a snapshot.
_SNAPSHOT = ["stream_run_id", "task"]


def snapshot_barriers(barriers: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Returns the mean barrier over the pairs of copies of each snapshot.

    Args:
        barriers: the table; its rows about tickets are left out.
        runs: rows of ``runs``: ``run_id`` and ``barrier_points``.

    Returns:
        A row per stream and task: stream_run_id, task, test_error_barrier (fraction of the test
        split) and test_loss_barrier (nats, or squared error in regression). Where errors were
        evaluated at several numbers of points, there is a column for each, as
        ``test_error_barrier(barrier_points=10)``.
    """
    of_copies = barriers[barriers["trained"] == "snapshot"]
    points = of_copies["run_id"].map(runs.set_index("run_id")["barrier_points"])
    of_copies = of_copies.assign(setting=[f"barrier_points={one:g}" for one in points])
    means = of_copies.groupby(["setting", *_SNAPSHOT], as_index=False)[_BARRIERS].mean()
    parts = []
    for setting, own in differing(of_copies["setting"].unique()).items():
        mine = means[means["setting"] == setting].set_index(_SNAPSHOT)[_BARRIERS]
        parts.append(mine.add_suffix(f"({own})" if own else ""))
    return pd.concat(parts, axis=1).reset_index() if parts else means[[*_SNAPSHOT, *_BARRIERS]]
