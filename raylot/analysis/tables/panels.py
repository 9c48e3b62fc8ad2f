"""One measure of one search as a panel: a row per seed, a column per snapshot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from raylot.analysis.statistics.intervals import Array
from raylot.analysis.tables.measures import Measure
from raylot.analysis.tables.observations import Setting
from raylot.config import StreamRun


@dataclass(frozen=True)
class Panels:
    """Makes panels that share their rows and columns.

    Attributes:
        setting: the seeds are all of its seeds, in ascending order.
        tasks: at which some seed has a value of every measure, in ascending order.
    """

    setting: Setting
    tasks: Array

    @classmethod
    def of(cls, setting: Setting, *measures: Measure) -> Panels:
        """Finds the tasks at which all these measures have a value."""
        names = [measure.name for measure in measures]
        return cls(setting, np.unique(setting.frame.dropna(subset=names)["task"]))

    @property
    def seeds(self) -> Array:
        return np.unique(self.setting.frame["seed"])

    def panel(self, part: pd.DataFrame, measure: Measure) -> Array:
        """Arranges a measure so that larger values are worse.

        An infinite value, as of a network whose training diverged, becomes the worst finite one of
        the setting: the strongest loss that was seen, and no larger, so that there is a mean of it.

        Args:
            part: rows of one search of the setting.
            measure: a column of them; without orientation, high values count as worse.

        Returns:
            Shape (seeds, tasks); NaN where nothing was measured.
        """
        found = np.full((len(self.seeds), len(self.tasks)), np.nan)
        own = part[part["task"].isin(self.tasks)]
        place = (np.searchsorted(self.seeds, own["seed"]), np.searchsorted(self.tasks, own["task"]))
        found[place] = np.clip(_worse(own, measure), *self._range(measure))
        return found

    def with_collapse(self, part: pd.DataFrame, measure: Measure) -> Array:
        """Returns a `panel` in which snapshots that a stream has not left, as it diverged before
        them, have the worst value of the setting."""
        found = self.panel(part, measure)
        found[self.collapsed(part)] = self._range(measure)[1]
        return found

    def collapsed(self, part: pd.DataFrame) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
        """Whether each snapshot of a search is one that its stream has not left, as it diverged;
        shape (seeds, tasks)."""
        last = part.groupby("seed")["task"].max().reindex(self.seeds, fill_value=-1).to_numpy()
        runs = self.setting.runs
        is_diverged = (runs["kind"] == StreamRun.kind) & (runs["status"] == "diverged")
        diverged = runs.loc[is_diverged & runs["shift"].isin(part["shift"]), "seed"]
        return (self.tasks[None] > last[:, None]) & np.isin(self.seeds, diverged)[:, None]

    def _range(self, measure: Measure) -> tuple[float, float]:
        values = _worse(self.setting.frame, measure)
        finite = values[np.isfinite(values)]
        return (finite.min(), finite.max()) if finite.size else (np.nan, np.nan)


def _worse(rows: pd.DataFrame, measure: Measure) -> Array:
    sign = -1 if measure.orientation == 1 else 1
    return sign * rows[measure.name].to_numpy(dtype=float)
