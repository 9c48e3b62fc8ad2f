"""How a measure changes from the first snapshot of a stream to the last, seed by seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from intervals import Mean, mean_interval


@dataclass(frozen=True)
class Change:
    """A measure at the first and at the last snapshot.

    Attributes:
        first_task, last_task: the snapshots' tasks.
        first, last: means over the seeds that have both.
        change: mean over seeds of last - first.
        by_seed: last - first of each seed.
    """

    first_task: int
    last_task: int
    first: float
    last: float
    change: Mean
    by_seed: pd.Series[float]

    def minus(self, other: Change, confidence: float) -> Mean | None:
        """How much more this measure rose than another, over the seeds that have both."""
        difference = (self.by_seed - other.by_seed).dropna()
        return mean_interval(difference.to_numpy(), confidence)


def change(frame: pd.DataFrame, column: str, confidence: float = 0.95) -> Change | None:
    """The change of one column along the stream.

    Args:
        frame: observations of one shift; rows that repeat a seed and task (as of several
            sparsities) must agree on the column.
        column: a measure.
        confidence: of the change's interval.

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
    mean = mean_interval(by_seed.to_numpy(), confidence)
    if mean is None:
        return None
    first, last = float(ends[first_task].mean()), float(ends[last_task].mean())
    return Change(first_task, last_task, first, last, mean, by_seed)
