"""Intervals over seeds, the unit of replication: of means, and by bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Array = npt.NDArray[np.float64]

#: With fewer seeds than this, a figure is given together with a warning.
ENOUGH_SEEDS = 3

#: With fewer seeds than this, a bootstrap interval is clearly too narrow: a mean's has about
#: sqrt((n - 1) / n) * 1.96 / t(n - 1) the width of its t interval, 0.63 for n = 5, 0.91 for 20.
MANY_SEEDS = 20

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


def mean_interval(values: npt.ArrayLike, confidence: float = 0.95) -> Mean | None:
    """Mean of one value per seed, with its t interval; values that are not finite are left out.

    Args:
        values: shape (seeds,).
        confidence: of the interval, in (0, 1).

    Returns:
        None if no value is finite.
    """
    given = np.asarray(values, dtype=float)
    given = given[np.isfinite(given)]
    if given.size == 0:
        return None
    mean = float(given.mean())
    if given.size == 1:
        return Mean(mean, None, None, 1)
    quantile = float(stats.t.ppf((1 + confidence) / 2, given.size - 1))
    half = quantile * float(stats.sem(given))
    return Mean(mean, mean - half, mean + half, int(given.size))


def interquartile_interval(values: npt.ArrayLike, confidence: float = 0.95) -> Mean | None:
    """Interquartile mean of one value per seed: the mean without the lowest and the highest
    quarter, rounded down (Agarwal et al. 2021), with its percentile bootstrap interval.

    Args:
        values: shape (seeds,); those that are not finite are left out.
        confidence: of the interval, in (0, 1).

    Returns:
        None if no value is finite.
    """
    given = np.asarray(values, dtype=float)
    given = given[np.isfinite(given)]
    if given.size == 0:
        return None
    middle = float(_interquartile_mean(given))
    if given.size == 1:
        return Mean(middle, None, None, 1)
    found = stats.bootstrap(
        (given,),
        _interquartile_mean,
        n_resamples=_RESAMPLES,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Mean(middle, float(found.low), float(found.high), int(given.size))


def _interquartile_mean(values: Array, axis: int = -1) -> Array:
    return np.asarray(stats.trim_mean(values, 0.25, axis=axis))


@dataclass(frozen=True)
class Center:
    """What stands for all seeds.

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


def percentile_interval(values: Array, confidence: float) -> tuple[float, float] | None:
    """The percentile interval of resampled figures, shape (resamples,); undefined ones (NaN) are
    left out. None if all are."""
    defined = values[np.isfinite(values)]
    if defined.size == 0:
        return None
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)
