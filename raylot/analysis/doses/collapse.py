"""Counts networks that diverged as those that have lost the most plasticity."""

from __future__ import annotations

import numpy as np
import pandas as pd

from raylot.analysis.tables.measures import measure
from raylot.analysis.tables.observations import PLACE
from raylot.config import StreamRun


def with_collapse(frame: pd.DataFrame, runs: pd.DataFrame, column: str) -> pd.DataFrame:
    """Fills in what is missing of a plasticity measure because training diverged, with the worst
    finite value of the frame, as `tables.panels.Panels` does for the declared pair.

    An infinite value becomes it, and so does every snapshot after task 0 that a stream has not
    left, as it diverged before, even if it has left none. Tickets of such snapshots stay unknown:
    to fill in both would make a link.

    Args:
        frame: rows of `observations.Observations` with all interventions, under one shift and
            ticket search.
        runs: those behind them, see `observations.Setting`.
        column: the measure; without orientation, high values count as worse.

    Returns:
        The frame, with a row more for each such snapshot.
    """
    if column not in frame:
        return frame
    sign = -1.0 if measure(column).orientation == 1 else 1.0
    worse = sign * frame[column].to_numpy(dtype=float)
    finite = worse[np.isfinite(worse)]
    if not finite.size:
        return frame
    clipped = frame.assign(**{column: sign * np.clip(worse, finite.min(), finite.max())})
    diverged = runs[(runs["kind"] == StreamRun.kind) & (runs["status"] == "diverged")]
    last = frame.groupby("stream_run_id")["task"].max()
    shared = frame.iloc[0][list(PLACE)]
    rows = [
        {**shared, "intervention": run.intervention, "seed": run.seed, "task": task,
         "stream_run_id": run.stream_run_id, column: sign * finite.max()}
        for run in diverged[diverged["shift"].isin(frame["shift"])].itertuples()
        for task in sorted(frame["task"].unique())
        if task > max(0, last.get(run.stream_run_id, 0))
    ]  # fmt: skip
    return pd.concat([clipped, pd.DataFrame(rows)], ignore_index=True) if rows else clipped
