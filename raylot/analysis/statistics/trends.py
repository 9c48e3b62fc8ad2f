"""How a measure changes from the first snapshot of a stream to the last, seed by seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from raylot.analysis.statistics.intervals import CENTERS, Center, Mean


@dataclass(frozen=True)
class Change:
    """A measure at the first and at the last snapshot.

    Attributes:
        first_task, last_task: the snapshots' tasks.
        first, last: centers over the seeds that have both.
        change: center over seeds of last - first.
        by_seed: last - first of each seed.
        center: mean or interquartile mean.
    """

    first_task: int
    last_task: int
    first: float
    last: float
    change: Mean
    by_seed: pd.Series[float]
    center: Center

    def minus(self, other: Change, confidence: float) -> Mean | None:
        """How much more this measure rose than another, over the seeds that have both."""
        difference = (self.by_seed - other.by_seed).dropna()
        return self.center.of(difference.to_numpy(), confidence)


def change(
    frame: pd.DataFrame, column: str, confidence: float = 0.95, center: Center = CENTERS["mean"]
) -> Change | None:
    """The change of one column along the stream.

    Args:
        frame: observations of one shift; rows that repeat a seed and task (as of several
            sparsities) must agree on the column.
        column: a measure.
        confidence: of the change's interval.
        center: mean or interquartile mean over seeds.

    Returns:
        None if there are fewer than two snapshots, or no seed has both the first and the last.
    """
    first_task, last_task = int(frame["task"].min()), int(frame["task"].max())
    given = frame[np.isfinite(frame[column].astype(float))]
    wide = given.drop_duplicates(["seed", "task"]).pivot(
        index="seed", columns="task", values=column
    )
    if first_task == last_task or not {first_task, last_task} <= set(wide.columns):
        return None
    ends = wide[[first_task, last_task]].dropna()
    by_seed = ends[last_task] - ends[first_task]
    first, last, moved = (
        center.of(values.to_numpy(), confidence)
        for values in (ends[first_task], ends[last_task], by_seed)
    )
    if first is None or last is None or moved is None:
        return None
    return Change(first_task, last_task, first.mean, last.mean, moved, by_seed, center)
