"""A measure at the first and the last snapshot of a stream, to be glanced at; nothing is concluded
from two snapshots: see `changes`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Change:
    """A measure at the first and at the last snapshot.

    Attributes:
        first_task, last_task: the snapshots' tasks.
        first, last: means over the seeds that have both.
        seeds: how many have.
    """

    first_task: int
    last_task: int
    first: float
    last: float
    seeds: int


def change(frame: pd.DataFrame, column: str) -> Change | None:
    """The change of one column along the stream.

    Args:
        frame: observations of one shift; rows that repeat a seed and task (as of several
            sparsities) must agree on the column.
        column: a measure.

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
    if ends.empty:
        return None
    first, last = (float(ends[task].mean()) for task in (first_task, last_task))
    return Change(first_task, last_task, first, last, len(ends))
