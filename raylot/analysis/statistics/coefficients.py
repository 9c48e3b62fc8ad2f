"""The correlations of many pairs of series, for all resamples of the seeds at once.

A resample is given as how often each seed was drawn, so that no rows are ever copied: per-seed
sums are added up with these counts as weights, in one matrix product for all resamples and pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from raylot.analysis.statistics.intervals import Array, Indices

# A series whose values agree to this share of their size is constant: what is left is rounding.
_CONSTANT = 1e-9
# Two values that differ by no more than this share of the smaller are tied: eigenvalues, and what
# is made of them, differ in their last digits where they are equal.
_TIED = 1e-11
# Variance, or share of the variance, below which rounding is all that is left of a series.
_NOTHING_LEFT = 1e-12
# Resamples that are held in memory at once: of sums over rows, and at least with all rows' ranks,
# and ranks of one column that are: what fits a processor's cache takes the least time.
_SUMMED, _LEAST_RANKED, _RANKED = 500, 8, 40_000


@dataclass(frozen=True)
class Series:
    """Observations of several measures, without missing values; every x is correlated with every y.

    Attributes:
        x: shape (rows, x measures); infinite values only where nothing but ranks is taken of them.
        y: shape (rows, y measures), the same.
        task: the snapshot's task, shape (rows,), as all that follow.
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
        x, y = (_changes(values[order])[follows] for values in (self.x, self.y))
        return replace(self._rows(order[1:][follows]), x=x, y=y)

    def within_streams(self) -> Series:
        """Deviations from the stream's mean, in streams of at least two snapshots.

        Their Pearson correlation is the repeated-measures correlation of Bakdash & Marusich
        (2017): the sums of squares of its analysis of covariance are those of the deviations.
        """
        kept = self._rows(np.bincount(self.stream, minlength=1)[self.stream] > 1)
        _, stream = np.unique(kept.stream, return_inverse=True)
        return replace(kept, x=_deviations(kept.x, stream), y=_deviations(kept.y, stream))

    def _rows(self, chosen: npt.NDArray[Any]) -> Series:
        return Series(*(values[chosen] for values in vars(self).values()))

    def ranks(self) -> Series:
        """Centred ranks instead of values; ties share their mean rank."""
        once = np.ones((1, int(self.seed.max(initial=-1)) + 1), dtype=np.int32)
        x, y = (
            np.stack([Ranking(v, self.seed).centred(once)[0][0] / 2 for v in values.T], axis=1)
            for values in (self.x, self.y)
        )
        return replace(self, x=x, y=y)

    def residuals(self) -> Series:
        """Returns the residuals of x and y after a linear regression of each on task."""
        task = self.task - self.task.mean()
        spread = float(task @ task)

        def left(values: Array) -> Array:
            slopes = task @ values / spread if spread else np.zeros(values.shape[1])
            return np.asarray(values - values.mean(axis=0) - task[:, None] * slopes)

        return replace(self, x=left(self.x), y=left(self.y))


def _deviations(values: Array, stream: Indices) -> Array:
    streams = int(stream.max(initial=-1)) + 1
    means = sums_by(values, stream, streams) / np.bincount(stream, minlength=streams)[:, None]
    found = values - means[stream]
    found[np.abs(found) <= _CONSTANT * np.abs(values).max(axis=0, initial=0)] = 0
    return np.asarray(found)


def _changes(values: Array) -> Array:
    """From each row to the next; 0 where the two agree up to rounding."""
    changes = np.diff(values, axis=0)
    changes[_agree(values[:-1], values[1:], _TIED)] = 0
    return changes


def _agree(a: Array, b: Array, share: float) -> npt.NDArray[np.bool_]:
    """Whether a and b differ by no more than a share of the smaller; infinite values agree only
    with their like."""
    with np.errstate(invalid="ignore", over="ignore"):  # of infinite values
        apart = np.abs(a - b)
    near = np.isfinite(apart) & (apart <= share * np.minimum(np.abs(a), np.abs(b)))
    return np.asarray((a == b) | near)


def is_constant(values: Array) -> npt.NDArray[np.bool_]:
    """Whether all values of a column agree, up to rounding.

    Args:
        values: shape (rows, columns); may be infinite.

    Returns:
        Shape (columns,).
    """
    if not len(values):
        return np.ones(values.shape[1], dtype=bool)
    return _agree(values.min(axis=0), values.max(axis=0), _CONSTANT)


def within_range(values: Array) -> Array:
    """Columns divided by a power of 2 each, so that neither squares of huge values overflow nor
    those of tiny ones vanish. It leaves Pearson's correlation as it is, but not always ranks: of
    values that are less than 1e-307 of the largest, digits are lost.

    Args:
        values: shape (rows, ...); may be infinite.
    """
    size = np.abs(np.where(np.isfinite(values), values, 0)).max(axis=0, initial=0)
    return np.asarray(np.ldexp(values, -np.frexp(size)[1]))


def sums_by(values: Array, group: Indices, groups: int) -> Array:
    """Sums of the rows of each group.

    Args:
        values: shape (rows, columns).
        group: of each row, 0 ... groups - 1.
        groups: how many there are; one without rows has sums of 0.

    Returns:
        Shape (groups, columns).
    """
    found = np.zeros((groups, values.shape[1]))
    if len(values):
        order = np.argsort(group, kind="stable")
        present, starts = np.unique(group[order], return_index=True)
        found[present] = np.add.reduceat(values[order], starts, axis=0)
    return found


# ------------------------------------------------------------------ Pearson


def pearson(series: Series, counts: Array) -> Array:
    """Pearson's correlation of every x with every y in each resample.

    Args:
        series: the observations.
        counts: how often each seed was drawn, shape (resamples, seeds).

    Returns:
        Shape (resamples, x measures, y measures); NaN beside a column that is constant in a
        resample.
    """
    return _correlations(series.x, series.y, series.seed, counts)


def partial(series: Series, counts: Array) -> Array:
    """Pearson's correlation of what is left of x and y after regressing both linearly on task;
    shapes as in `pearson`."""
    task = series.task[:, None]
    found = _correlations(series.x, series.y, series.seed, counts)
    xt = _correlations(series.x, task, series.seed, counts)
    ty = _correlations(task, series.y, series.seed, counts)
    x_left, y_left = 1 - xt**2, 1 - ty**2
    for left in (x_left, y_left):
        left[~(left > _NOTHING_LEFT)] = np.nan
    found -= xt * ty
    found /= np.sqrt(x_left)
    found /= np.sqrt(y_left)
    return np.clip(found, -1, 1, out=found)


def _correlations(x: Array, y: Array, seed: Indices, counts: Array) -> Array:
    x, y = _scaled(x), _scaled(y)
    products = (x[:, :, None] * y[:, None, :]).reshape(len(x), -1)
    columns = np.hstack([np.ones((len(x), 1)), x, x**2, y, y**2, products])
    ends = np.cumsum([1, *[x.shape[1]] * 2, *[y.shape[1]] * 2])
    by_seed = sums_by(columns, seed, counts.shape[1])
    found = np.empty((len(counts), x.shape[1], y.shape[1]))
    for start in range(0, len(counts), _SUMMED):
        sums = counts[start : start + _SUMMED] @ by_seed
        with np.errstate(divide="ignore", invalid="ignore"):
            sums /= sums[:, :1].copy()
            _, x_mean, x_square, y_mean, y_square, product = np.split(sums, ends, axis=1)
            x_spread, y_spread = _spread(x_mean, x_square), _spread(y_mean, y_square)
            part = found[start : start + _SUMMED]
            part[:] = product.reshape(part.shape)
            part -= x_mean[:, :, None] * y_mean[:, None, :]
            part /= x_spread[:, :, None] * y_spread[:, None, :]
            np.clip(part, -1, 1, out=part)
    return found


def _spread(mean: Array, square: Array) -> Array:
    variance = square - mean**2
    variance[~(variance > _NOTHING_LEFT)] = np.nan
    return np.sqrt(variance)


def _scaled(values: Array) -> Array:
    """Each column with mean 0 and standard deviation 1, so that sums of squares lose no digits."""
    if not len(values):
        return values
    values, constant = within_range(values), is_constant(values)
    centred = values - values.mean(axis=0)
    return np.where(constant, 0.0, centred / np.where(constant, 1.0, values.std(axis=0)))


# ------------------------------------------------------------------ Spearman


def spearman(series: Series, counts: Array) -> Array:
    """Spearman's correlation of every x with every y, ranked anew in each resample; shapes as in
    `pearson`."""
    x, y = ([Ranking(v, series.seed) for v in values.T] for values in (series.x, series.y))
    whole = counts.astype(np.int32)  # sums of whole numbers are exact, and several times as fast
    size = max(_LEAST_RANKED, _RANKED // max(1, series.seed.size))
    blocks = [
        _spearman(x, y, series.seed, whole[start : start + size])
        for start in range(0, len(counts), size)
    ]
    return np.concatenate(blocks)


def _spearman(
    x: list[Ranking], y: list[Ranking], seed: Indices, counts: npt.NDArray[np.int32]
) -> Array:
    weights = counts.take(seed, axis=1).astype(float)
    total = weights.sum(axis=1)
    untied = np.einsum("rn,rn,rn->r", weights, weights, weights)
    spreads, ranks = [], []
    for rankings in (x, y):
        own = np.empty((len(counts), len(rankings), len(seed)))
        spread = np.empty((len(counts), len(rankings)))
        for index, ranking in enumerate(rankings):
            own[:, index], cubes = ranking.centred(counts)
            spread[:, index] = total**3 - (untied if cubes is None else cubes)
        spread[spread == 0] = np.nan
        ranks.append(own)
        spreads.append(np.sqrt(spread))
    ranks[0] *= weights[:, None]
    found = 3 * (ranks[0] @ ranks[1].transpose(0, 2, 1))
    found /= spreads[0][:, :, None] * spreads[1][:, None, :]
    return np.clip(found, -1, 1, out=found)


def _ends_of_ties(ordered: Array) -> npt.NDArray[np.bool_]:
    """Whether each value is the last of its tie, given all in ascending order."""
    ends = np.append(~_agree(ordered[:-1], ordered[1:], _TIED), True)[: len(ordered)]
    begin = 0
    for end in np.flatnonzero(ends):
        # Each agrees with the next one, but they may drift away from the first.
        while not (agree := _agree(ordered[begin], ordered[begin : end + 1], _TIED)).all():
            begin += int(np.argmin(agree))
            ends[begin - 1] = True
        begin = int(end) + 1
    return np.asarray(ends)


class Ranking:
    """The order of one column's values, from which their ranks in any resample follow.

    In a resample a row counts as often as its seed was drawn; ties share their mean rank. Values
    are tied that differ from the tie's smallest by rounding alone, however large others are.
    """

    def __init__(self, values: Array, seed: Indices) -> None:
        """Sorts.

        Args:
            values: shape (rows,); may be infinite.
            seed: of each row.
        """
        order = np.argsort(values, kind="stable")
        ordered = values[order]
        if is_constant(values[:, None])[0]:
            ordered = np.zeros_like(ordered)
        last = _ends_of_ties(ordered)
        self._seed = seed[order]
        self._last = np.flatnonzero(last)  # row of each tie
        self._tie = np.empty(len(values), dtype=np.intp)
        self._tie[order] = np.cumsum(last) - last

    def centred(self, counts: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int32], Array | None]:
        """Ranks, and how much they vary: with t rows in each tie, twice the centred ranks have the
        sum of squares ((sum of t)^3 - sum of t^3) / 3.

        Args:
            counts: how often each seed was drawn, shape (resamples, seeds).

        Returns:
            Twice each row's rank minus twice the mean rank, which are whole numbers, shape
            (resamples, rows); and the sum of t^3, shape (resamples,), or None without ties, where
            every row is one that was drawn t times.
        """
        drawn = counts.take(self._seed, axis=1)
        up_to = np.cumsum(drawn, axis=1, dtype=np.int32)
        cubes = None
        if len(self._last) < len(self._seed):
            up_to = up_to.take(self._last, axis=1)
            drawn = np.diff(up_to, axis=1, prepend=np.int32(0))
            tied = drawn.astype(float)
            cubes = np.einsum("rn,rn,rn->r", tied, tied, tied)
        twice = 2 * up_to
        twice -= drawn
        twice -= up_to[:, -1:]
        return twice.take(self._tie, axis=1), cubes


@dataclass(frozen=True)
class Statistic:
    """One kind of correlation.

    Attributes:
        label: its name in words.
        least_points: fewest points with which it says anything.
        compute: its figures in each resample of the seeds, from its points: see `pearson`.
        points: what it is computed from.
        scores: of its points, the series whose Pearson correlation it is.
        noun: what its points are called.
        ranks: whether only the order of values counts, so that infinite ones have a place too.
    """

    label: str
    least_points: int
    compute: Callable[[Series, Array], Array]
    points: Callable[[Series], Series] = copy
    scores: Callable[[Series], Series] = copy
    noun: str = "points"
    ranks: bool = False


#: A partial correlation of any 3 points is 1 or -1, so it takes 4.
STATISTICS: dict[str, Statistic] = {
    "pearson": Statistic("Pearson", 3, pearson),
    "spearman": Statistic("Spearman", 3, spearman, scores=Series.ranks, ranks=True),
    "first_differences": Statistic(
        "first differences", 3, pearson, points=Series.differences, noun="differences"
    ),
    "partial": Statistic("partial given task", 4, partial, scores=Series.residuals),
    "repeated_measures": Statistic("repeated measures", 3, pearson, points=Series.within_streams),
}
