"""One measure of one search as a panel: a row per seed, a column per snapshot."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from raylot.analysis.statistics.intervals import Array
from raylot.analysis.tables.measures import Measure
from raylot.analysis.tables.observations import Setting
from raylot.config import StreamRun


class Panels:
    """Makes panels that share their rows and columns.

    Attributes:
        seeds: of the setting, in ascending order.
        tasks: at which some seed has a value of every measure, in ascending order.
    """

    def __init__(self, setting: Setting, *measures: Measure) -> None:
        """Finds the seeds and tasks at which all these measures have a value."""
        frame, runs = setting.frame, setting.runs
        self.seeds = np.unique(frame["seed"])
        self.tasks = np.unique(frame.dropna(subset=[measure.name for measure in measures])["task"])
        self._range = {measure.name: _range(_worse(frame, measure)) for measure in measures}
        is_diverged = (runs["kind"] == StreamRun.kind) & (runs["status"] == "diverged")
        self._diverged = runs[is_diverged]

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
        found[place] = np.clip(_worse(own, measure), *self._range[measure.name])
        return found

    def with_collapse(self, part: pd.DataFrame, measure: Measure) -> Array:
        """Returns a `panel` in which snapshots that a stream has not left, as it diverged before
        them, have the worst value of the setting."""
        found = self.panel(part, measure)
        found[self.collapsed(part)] = self._range[measure.name][1]
        return found

    def collapsed(self, part: pd.DataFrame) -> npt.NDArray[np.bool_]:
        """Whether each snapshot of a search is one that its stream has not left, as it diverged;
        shape (seeds, tasks). The first snapshot is never one: from it all changes are reckoned."""
        found = np.zeros((len(self.seeds), len(self.tasks)), dtype=bool)
        diverged = self._diverged.loc[self._diverged["shift"].isin(part["shift"]), "seed"]
        for seed in set(diverged) & set(self.seeds):
            last = part.loc[part["seed"] == seed, "task"].max()
            found[self.seeds == seed] = ~(self.tasks <= last)
        found[:, :1] = False
        return found


def _range(values: Array) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    return (finite.min(), finite.max()) if finite.size else (np.nan, np.nan)


def _worse(rows: pd.DataFrame, measure: Measure) -> Array:
    sign = -1 if measure.orientation == 1 else 1
    return np.asarray(sign * rows[measure.name].to_numpy(dtype=float))
