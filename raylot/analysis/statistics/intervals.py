"""Intervals over seeds, the unit of replication: of means, and by bootstrap."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from raylot.foundation.names import ENOUGH_SEEDS as ENOUGH_SEEDS

Array = npt.NDArray[np.float64]

#: With fewer seeds than this, a bootstrap interval is clearly too narrow: a mean's has about
#: sqrt((n - 1) / n) * 1.96 / t(n - 1) the width of its t interval, 0.63 for n = 5, 0.91 for 20.
MANY_SEEDS = 20

#: Squares of larger values overflow.
_LARGEST = 1e150

#: Resamples behind the interval of an interquartile mean.
_RESAMPLES = 2000


@dataclass(frozen=True)
class Mean:
    """A mean or interquartile mean over seeds; ``low`` and ``high`` are None with one seed."""

    mean: float
    low: float | None
    high: float | None
    seeds: int

    @property
    def direction(self) -> int:
        """1 or -1 if the interval lies wholly above or below 0, else 0."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)


def _usable(values: npt.ArrayLike) -> Array:
    given: Array = np.asarray(values, dtype=float)
    return np.asarray(given[np.abs(given) < _LARGEST])  # which NaN is not


def _alone(given: Array) -> Mean | None:
    """Returns the value of a single seed, which has no interval; None without a seed."""
    return Mean(float(given[0]), None, None, 1) if given.size else None


def mean_interval(values: npt.ArrayLike, confidence: float = 0.95) -> Mean | None:
    """Mean of one value per seed, with its t interval; values that are not finite, or so large
    that their squares are not, are left out.

    Args:
        values: shape (seeds,).
        confidence: of the interval, in (0, 1).

    Returns:
        None if no value is left.
    """
    given = _usable(values)
    if given.size < 2:
        return _alone(given)
    mean = float(given.mean())
    error = float(given.std(ddof=1)) / math.sqrt(given.size)
    half = t_quantile(confidence, given.size - 1) * error
    return Mean(mean, mean - half, mean + half, int(given.size))


def t_quantile(confidence: float, freedom: int) -> float:
    """Returns the quantile of the t distribution that bounds an interval on both sides."""
    return float(special.stdtrit(freedom, (1 + confidence) / 2))


def interquartile_interval(values: npt.ArrayLike, confidence: float = 0.95) -> Mean | None:
    """Interquartile mean of one value per seed: the mean without the lowest and the highest
    quarter, rounded down (Agarwal et al. 2021), with its percentile bootstrap interval.

    Args:
        values: shape (seeds,); those are left out that `mean_interval` leaves out.
        confidence: of the interval, in (0, 1).

    Returns:
        None if no value is left.
    """
    given = _usable(values)
    if given.size < 2:
        return _alone(given)
    from scipy import stats  # takes half a second, which only interquartile means pay

    found = stats.bootstrap(
        (given,), _interquartile_mean, n_resamples=_RESAMPLES, confidence_level=confidence,
        method="percentile", rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    middle = float(_interquartile_mean(given))
    return Mean(middle, float(found.low), float(found.high), int(given.size))


def _interquartile_mean(values: Array, axis: int = -1) -> Array:
    cut = values.shape[axis] // 4
    middle = np.sort(values, axis=axis).take(range(cut, values.shape[axis] - cut), axis=axis)
    return np.asarray(middle.mean(axis=axis))


@dataclass(frozen=True)
class Center:
    """A way to summarise all seeds in one number.

    Attributes:
        label: its name in words.
        interval_label: what kind of interval it comes with.
        of: values, one per seed, and confidence -> the center and its interval.
    """

    label: str
    interval_label: str
    of: Callable[[npt.ArrayLike, float], Mean | None]


CENTERS: dict[str, Center] = {
    "mean": Center("mean", "t", mean_interval),
    "iqm": Center("interquartile mean", "bootstrap", interquartile_interval),
}


def seed_resamples(seeds: int, resamples: int, seed: int) -> Array:
    """Draws seeds with replacement.

    Args:
        seeds: how many there are.
        resamples: how many times as many are drawn from them.
        seed: of the draws; equal seeds give equal draws.

    Returns:
        How often each seed was drawn, shape (resamples, seeds); each row adds up to ``seeds``.
    """
    generator = np.random.default_rng(seed)
    return generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples).astype(float)


def percentile_intervals(values: Array, confidence: float) -> tuple[Array, Array]:
    """Percentile intervals of resampled figures; undefined ones (NaN) are left out.

    Args:
        values: shape (resamples, ...).
        confidence: of the intervals, in (0, 1).

    Returns:
        Lower and upper bounds, each of shape (...); NaN where no resample is defined.
    """
    tail = (1 - confidence) / 2
    columns = values.reshape(len(values), -1)
    bounds = np.full((2, columns.shape[1]), np.nan)
    whole = ~np.isnan(columns).any(axis=0)
    bounds[:, whole] = np.quantile(columns[:, whole], [tail, 1 - tail], axis=0)
    for index in np.flatnonzero(~whole):
        defined = columns[~np.isnan(columns[:, index]), index]
        if defined.size:
            bounds[:, index] = np.quantile(defined, [tail, 1 - tail])
    low, high = bounds.reshape(2, *values.shape[1:])
    return low, high
