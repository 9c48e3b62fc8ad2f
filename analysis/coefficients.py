"""The correlations of two series, for all resamples of the seeds at once.

A resample is given as how often each seed was drawn, so that no rows are ever copied: per-seed
sums are added up with these counts as weights, in one matrix product for all resamples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt
from intervals import Array
from numpy.polynomial import Polynomial
from scipy import stats

Indices = npt.NDArray[np.intp]

# A series whose values agree to this share of their size is constant: what is left is rounding.
_CONSTANT = 1e-9
# Variance, or share of the variance, below which rounding is all that is left of a series.
_NOTHING_LEFT = 1e-12


@dataclass(frozen=True)
class Series:
    """Paired observations, each of shape (rows,), without missing values.

    Attributes:
        x, y: what is correlated.
        task: the snapshot's task.
        seed: 0 ... seeds - 1.
        stream: number of the stream; one seed may have several.
        position: of the task among the tasks at which snapshots were taken.
    """

    x: Array
    y: Array
    task: Array
    seed: Indices
    stream: Indices
    position: Indices

    def differences(self) -> Series:
        """Changes from each snapshot of a stream to its next one; none across a missing one."""
        order = np.lexsort((self.position, self.stream))
        follows = (np.diff(self.stream[order]) == 0) & (np.diff(self.position[order]) == 1)
        later = order[1:][follows]
        return Series(
            x=np.diff(self.x[order])[follows],
            y=np.diff(self.y[order])[follows],
            task=self.task[later],
            seed=self.seed[later],
            stream=self.stream[later],
            position=self.position[later],
        )

    def within_streams(self) -> Series:
        """Deviations from the stream's mean, in streams of at least two snapshots.

        Their Pearson correlation is the repeated-measures correlation of Bakdash & Marusich
        (2017): the sums of squares of its analysis of covariance are those of the deviations.
        """
        kept = np.bincount(self.stream, minlength=1)[self.stream] > 1
        _, stream = np.unique(self.stream[kept], return_inverse=True)
        x, y = (_deviations(values[kept], stream) for values in (self.x, self.y))
        return replace(self._rows(kept), x=x, y=y)

    def ranks(self) -> Series:
        """Ranks instead of values; ties share their mean rank."""
        return replace(self, x=stats.rankdata(self.x), y=stats.rankdata(self.y))

    def residuals(self) -> Series:
        """What is left of x and y after regressing both linearly on task."""
        lines = (Polynomial.fit(self.task, values, 1)(self.task) for values in (self.x, self.y))
        x_line, y_line = lines
        return replace(self, x=self.x - x_line, y=self.y - y_line)

    def _rows(self, kept: npt.NDArray[np.bool_]) -> Series:
        return Series(*(getattr(self, field.name)[kept] for field in fields(self)))


def _deviations(values: Array, stream: Indices) -> Array:
    means = np.bincount(stream, weights=values) / np.bincount(stream)
    found = values - means[stream]
    found[np.abs(found) <= _CONSTANT * np.abs(values).max(initial=0)] = 0
    return np.asarray(found)


def is_constant(values: Array) -> bool:
    """Whether all values agree, up to rounding."""
    return values.size == 0 or bool(np.ptp(values) <= _CONSTANT * np.abs(values).max())


def correlation_matrices(values: Array, seed: Indices, counts: Array) -> npt.NDArray[np.float64]:
    """Pearson correlations between columns in each resample.

    Args:
        values: shape (rows, columns).
        seed: each row's seed, shape (rows,).
        counts: how often each seed was drawn, shape (resamples, seeds).

    Returns:
        Shape (resamples, columns, columns); NaN beside a column that is constant in a resample.
    """
    rows, columns = values.shape
    scaled = _scaled(values)
    member = np.zeros((counts.shape[1], rows))
    member[seed, np.arange(rows)] = 1
    products = (scaled[:, :, None] * scaled[:, None, :]).reshape(rows, -1)
    total = counts @ member.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = (counts @ (member @ scaled)) / total[:, None]
        moments = ((counts @ (member @ products)) / total[:, None]).reshape(-1, columns, columns)
        covariance = moments - means[:, :, None] * means[:, None, :]
        variance = np.einsum("rcc->rc", covariance).copy()
        variance[~(variance > _NOTHING_LEFT)] = np.nan
        spread = np.sqrt(variance)
        found = covariance / (spread[:, :, None] * spread[:, None, :])
    return np.asarray(np.clip(found, -1, 1))


def pearson(series: Series, counts: Array) -> Array:
    """Pearson's correlation of x and y in each resample, shape (resamples,)."""
    values = np.column_stack([series.x, series.y])
    return np.asarray(correlation_matrices(values, series.seed, counts)[:, 0, 1])


def partial(series: Series, counts: Array) -> Array:
    """Pearson's correlation of what is left of x and y after regressing both linearly on task."""
    values = np.column_stack([series.x, series.y, series.task])
    found = correlation_matrices(values, series.seed, counts)
    xy, xt, yt = found[:, 0, 1], found[:, 0, 2], found[:, 1, 2]
    left = np.stack([1 - xt**2, 1 - yt**2])
    left[~(left > _NOTHING_LEFT)] = np.nan
    return np.asarray(np.clip((xy - xt * yt) / np.sqrt(left[0] * left[1]), -1, 1))


def spearman(series: Series, counts: Array, block: int = 2000) -> Array:
    """Spearman's correlation of x and y in each resample, ranked anew in each.

    Args:
        series: the observations.
        counts: how often each seed was drawn, shape (resamples, seeds).
        block: resamples that are held in memory at once, as (block, rows) arrays.
    """
    starts = range(0, len(counts), block)
    parts = [_spearman(series, counts[start : start + block]) for start in starts]
    return np.concatenate(parts)


def _spearman(series: Series, counts: Array) -> Array:
    weights = counts[:, series.seed]
    total = weights.sum(axis=1)
    x, y = (_centred_ranks(v, series.seed, counts, weights) for v in (series.x, series.y))
    spread = np.einsum("rn,rn,rn->r", weights, x, x) * np.einsum("rn,rn,rn->r", weights, y, y)
    spread[~(spread > _NOTHING_LEFT * total**2)] = np.nan
    together = np.einsum("rn,rn,rn->r", weights, x, y)
    return np.asarray(np.clip(together / np.sqrt(spread), -1, 1))


def _centred_ranks(values: Array, seed: Indices, counts: Array, weights: Array) -> Array:
    """Each row's rank (ties share their mean rank) in each resample, minus the mean rank."""
    values = np.zeros_like(values) if is_constant(values) else values
    ahead = (values[:, None] < values) + 0.5 * (values[:, None] == values)
    member = seed == np.arange(counts.shape[1])[:, None]
    ranks = counts @ (member.astype(float) @ ahead)
    return np.asarray(ranks - weights.sum(axis=1, keepdims=True) / 2)


def _scaled(values: Array) -> Array:
    """Each column with mean 0 and standard deviation 1, so that sums of squares lose no digits."""
    constant = np.array([is_constant(column) for column in values.T], dtype=bool)
    if values.size == 0:
        return values
    centred = values - values.mean(axis=0)
    spread = values.std(axis=0)
    return np.where(constant, 0.0, centred / np.where(constant, 1.0, spread))


def _unchanged(series: Series) -> Series:
    return series


@dataclass(frozen=True)
class Statistic:
    """One kind of correlation.

    Attributes:
        label: its name in words.
        least_points: fewest points with which it says anything.
        compute: its figure in each resample of the seeds, from its points.
        points: what it is computed from.
        scores: of its points, the series whose Pearson correlation it is.
        noun: what its points are called.
    """

    label: str
    least_points: int
    compute: Callable[[Series, Array], Array]
    points: Callable[[Series], Series] = _unchanged
    scores: Callable[[Series], Series] = _unchanged
    noun: str = "points"


#: A partial correlation of 3 points is 1 or -1 whatever they are, so it takes 4.
STATISTICS: dict[str, Statistic] = {
    "pearson": Statistic("Pearson", 3, pearson),
    "spearman": Statistic("Spearman", 3, spearman, scores=Series.ranks),
    "first_differences": Statistic(
        "first differences", 3, pearson, points=Series.differences, noun="differences"
    ),
    "partial": Statistic("partial given task", 4, partial, scores=Series.residuals),
    "repeated_measures": Statistic("repeated measures", 3, pearson, points=Series.within_streams),
}
