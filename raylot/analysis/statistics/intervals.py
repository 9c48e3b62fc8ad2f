"""Intervals over seeds, the unit of replication: of means, and by bootstrap."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

#: With fewer seeds than this, a bootstrap interval is clearly too narrow: a mean's has about
#: sqrt((n - 1) / n) * 1.96 / t(n - 1) the width of its t interval, 0.63 for n = 5, 0.91 for 20.
MANY_SEEDS = 20

#: Squares of larger values overflow.
_LARGEST = 1e150


@dataclass(frozen=True)
class Mean:
    """A mean or interquartile mean over seeds.

    Attributes:
        mean: the center.
        low, high: bounds of its interval; None with one seed.
        seeds: how many it rests on.
        error: its standard error; None with one seed.
        freedom: degrees of freedom of its t test.
    """

    mean: float
    low: float | None
    high: float | None
    seeds: int
    error: float | None = None
    freedom: int = 0

    @property
    def half(self) -> float | None:
        """Half the width of a t interval, which is even on both sides; None with one seed."""
        return None if self.high is None else self.high - self.mean

    @property
    def direction(self) -> int:
        """1 or -1 if the interval lies wholly above or below 0, else 0."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)

    @property
    def p_above(self) -> float | None:
        """p of a one-sided t test that the center is 0 or less; None with one seed."""
        if self.error is None:
            return None
        if self.error == 0:
            return 0.0 if self.mean > 0 else 1.0
        return float(special.stdtr(self.freedom, -self.mean / self.error))

    @property
    def p(self) -> float | None:
        """p of a two-sided t test that the center is 0; None with one seed."""
        above = self.p_above
        if above is None:
            return None
        if self.error == 0:
            return float(self.mean == 0)
        return 2 * min(above, 1 - above)


def _usable(values: npt.ArrayLike) -> Array:
    given: Array = np.asarray(values, dtype=float)
    return np.asarray(given[np.abs(given) < _LARGEST])  # NaN is left out too


def _interval(
    mean: float, error: float | None, freedom: int, seeds: int, confidence: float
) -> Mean:
    if error is None:
        return Mean(mean, None, None, seeds)
    half = t_quantile(confidence, freedom) * error
    return Mean(mean, mean - half, mean + half, seeds, error, freedom)


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
    if not given.size:
        return None
    error = float(given.std(ddof=1)) / math.sqrt(given.size) if given.size > 1 else None
    return _interval(float(given.mean()), error, given.size - 1, int(given.size), confidence)


def t_quantile(confidence: float, freedom: int) -> float:
    """Returns the quantile of the t distribution that bounds an interval on both sides."""
    return float(special.stdtrit(freedom, (1 + confidence) / 2))


def interquartile_interval(values: npt.ArrayLike, confidence: float = 0.95) -> Mean | None:
    """Interquartile mean of one value per seed: the mean without the lowest and the highest
    quarter, rounded down (Agarwal et al. 2021), with the t interval of a trimmed mean, whose
    error is that of the winsorised values (Tukey & McLaughlin 1963).

    Args:
        values: shape (seeds,); those are left out that `mean_interval` leaves out.
        confidence: of the interval, in (0, 1).

    Returns:
        None if no value is left.
    """
    given = np.sort(_usable(values))
    n = given.size
    if not n:
        return None
    cut = n // 4
    kept = given[cut : n - cut]
    error = None
    if n > 1:
        winsorised = np.clip(given, kept[0], kept[-1])
        error = float(winsorised.std(ddof=1)) * math.sqrt(n) / kept.size
    return _interval(float(kept.mean()), error, kept.size - 1, n, confidence)


@dataclass(frozen=True)
class Center:
    """A way to summarise all seeds in one number.

    Attributes:
        label: its name in words.
        of: values, one per seed, and confidence -> the center and its t interval.
    """

    label: str
    of: Callable[[npt.ArrayLike, float], Mean | None]


CENTERS: dict[str, Center] = {
    "mean": Center("mean", mean_interval),
    "iqm": Center("interquartile mean", interquartile_interval),
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
