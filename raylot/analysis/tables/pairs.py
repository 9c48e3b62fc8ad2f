"""The pairs of measures of one setting that are correlated, gathered so that many are computed at
once.

Snapshots of all sparsities have the same plasticity, so their tickets stand side by side, as if
they were more measures of the same snapshots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from raylot.analysis.statistics.coefficients import Series, within_range
from raylot.analysis.statistics.intervals import Array
from raylot.analysis.tables.observations import Group, groups

Name = TypeVar("Name")


@dataclass(frozen=True)
class Pairs:
    """Every x with every y, in rows in which all of them have a value.

    Attributes:
        x: group and ticket measure of each column of ``series.x``.
        y: plasticity measure of each column of ``series.y``.
        series: their values.
        seeds: how many seeds they come from.
        left_out: rows that have no value in some of them.
        rows: those and the others together.
    """

    x: Sequence[tuple[Group, str]]
    y: Sequence[str]
    series: Series
    seeds: int
    left_out: int
    rows: int


def pairs(
    setting: pd.DataFrame,
    tickets: Sequence[str],
    measures: Sequence[str],
    most: int,
    *,
    infinite: bool = False,
) -> Iterator[Pairs]:
    """All pairs of each group of a setting, each pair once.

    Args:
        setting: observations of one setting.
        tickets: ticket measures, columns of it.
        measures: plasticity measures, columns of it.
        most: pairs that are gathered at most, or all measures of one ticket measure.
        infinite: whether infinite values are kept, as they have a rank; else they count as missing.
    """
    has_value = (lambda values: ~np.isnan(values)) if infinite else np.isfinite
    taken = np.asarray if infinite else within_range  # ranks need none, and are never rounded
    grid = np.sort(setting["task"].unique())
    for shared, searches in _side_by_side(setting, measures):
        x = {
            (group, name): part[name].to_numpy(dtype=float)
            for group, part in searches.items()
            for name in tickets
        }
        y = {name: shared[name].to_numpy(dtype=float) for name in measures}
        streams = np.asarray(shared.groupby(["shift", "seed"]).ngroup(), dtype=np.intp)
        columns = max(1, most // max(1, len(measures)))
        for x_names in _with_the_same_gaps(x, columns, has_value):
            for y_names in _with_the_same_gaps(y, len(measures), has_value):
                complete = has_value(x[x_names[0]]) & has_value(y[y_names[0]])
                seeds, seed = np.unique(shared["seed"].to_numpy()[complete], return_inverse=True)
                task = shared["task"].to_numpy(dtype=float)[complete]
                series = Series(
                    x=np.column_stack([taken(x[name][complete]) for name in x_names]),
                    y=np.column_stack([taken(y[name][complete]) for name in y_names]),
                    task=task,
                    seed=seed,
                    stream=streams[complete],
                    position=np.searchsorted(grid, task),
                )
                left_out = int((~complete).sum())
                yield Pairs(x_names, y_names, series, len(seeds), left_out, len(complete))


def _side_by_side(
    setting: pd.DataFrame, measures: Sequence[str]
) -> list[tuple[pd.DataFrame, dict[Group, pd.DataFrame]]]:
    """Snapshots and their plasticity, and the rows of each search of the very same snapshots."""
    found: list[tuple[pd.DataFrame, dict[Group, pd.DataFrame]]] = []
    place = ["shift", "seed", "task"]
    for group, part in groups(setting):
        rows = part.sort_values(place, kind="stable", ignore_index=True)
        snapshots = rows[list(dict.fromkeys([*place, *measures]))]
        for known, searches in found:
            if next(iter(searches))[0] == group[0] and known.equals(snapshots):
                searches[group] = rows
                break
        else:
            found.append((snapshots, {group: rows}))
    return found


def _with_the_same_gaps(
    values: dict[Name, Array], most: int, has_value: Callable[[Array], npt.NDArray[np.bool_]]
) -> list[list[Name]]:
    """Names of columns that lack values in the same rows, at most so many together."""
    by_gaps: dict[bytes, list[Name]] = {}
    for name, column in values.items():
        by_gaps.setdefault(has_value(column).tobytes(), []).append(name)
    return [
        names[start : start + most]
        for names in by_gaps.values()
        for start in range(0, len(names), most)
    ]
