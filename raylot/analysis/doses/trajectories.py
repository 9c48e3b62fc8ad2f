"""Each seed's value of a measure at each dose: the mean over the whole trajectory.

A dose is a method at one strength, as ``l2_init(1e-3)``; the method is ``l2_init``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from raylot.analysis.tables.observations import Observations, Setting, settings


@dataclass(frozen=True)
class Trajectories:
    """Rows of all doses under one shift and ticket search.

    Attributes:
        frame: rows of `observations.Observations`.
        snapshots: tasks of the snapshots that more than half of the streams have, without task 0,
            before which no method has acted: so that a stream that ended early does not shorten
            the others.
        doses: in order of method and strength.
        seeds: all of them.
    """

    frame: pd.DataFrame
    snapshots: list[int]
    doses: list[str]
    seeds: list[int]

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Trajectories:
        """Reads which snapshots, doses and seeds there are."""
        streams = frame.groupby("task")["stream_run_id"].nunique()
        shared = streams[streams > frame["stream_run_id"].nunique() / 2].index
        doses = sorted(frame["intervention"].unique(), key=dose_order)
        return cls(frame, [int(task) for task in shared if task > 0], doses, _seeds(frame))

    def has(self, column: str) -> bool:
        """Whether the column has a finite value somewhere."""
        return column in self.frame and bool(np.isfinite(self.frame[column].astype(float)).any())

    def at(self, column: str, snapshot: int) -> pd.DataFrame:
        """Returns a column's values at a snapshot, shape (seeds, doses); NaN where not finite."""
        needed = ["seed", "intervention", column]
        rows = self.frame.loc[self.frame["task"] == snapshot, needed].astype({column: float})
        wide = rows.pivot_table(index="seed", columns="intervention", values=column, dropna=False)
        wide = wide.reindex(index=self.seeds, columns=self.doses)
        return wide.where(np.isfinite(wide))

    def means(self, column: str) -> pd.DataFrame:
        """Returns a column's mean over the snapshots, shape (seeds, doses); NaN for a stream that
        lacks one of them: what diverged late would look plastic by its early ones."""
        if not self.snapshots:
            return pd.DataFrame(np.nan, self.seeds, self.doses)
        each = np.stack([self.at(column, one).to_numpy() for one in self.snapshots])
        return pd.DataFrame(each.mean(axis=0), self.seeds, self.doses)

    def cube(self, column: str) -> np.ndarray:
        """Returns a column's values of shape (seeds, doses, snapshots)."""
        return np.stack([self.at(column, one).to_numpy() for one in self.snapshots], axis=-1)


def _seeds(frame: pd.DataFrame) -> list[int]:
    return sorted(int(seed) for seed in frame["seed"].unique())


def method(dose: str) -> str:
    """Returns a dose's method: ``l2_init`` of ``l2_init(1e-3)``."""
    return dose.partition("(")[0]


def dose_order(dose: str) -> tuple[bool, str, list[tuple[int, float, str]]]:
    """Sorts doses: ``none`` first, then by method, then by strength as a number."""
    parts = dose.partition("(")[2].rstrip(")").replace("=", ", ").split(", ")
    return (dose != "none", method(dose), [_number(part) for part in parts])


def _number(text: str) -> tuple[int, float, str]:
    try:
        return (0, float(text), "")
    except ValueError:
        return (1, 0.0, text)


def compared_settings(observations: Observations) -> Iterator[Setting]:
    """Yields the settings that differ in more than their intervention, with all interventions."""
    frame, runs = observations.frame, observations.runs
    alike = [table.assign(intervention="none") for table in (frame, runs)]
    for setting in settings(replace(observations, frame=alike[0], runs=alike[1])):
        yield replace(
            setting, frame=frame.loc[setting.frame.index], runs=runs.loc[setting.runs.index]
        )
