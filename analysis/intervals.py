"""Intervals over seeds, the unit of replication: bootstrap, and the mean's t interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Array = npt.NDArray[np.float64]

#: With fewer seeds than this, a figure is given together with a warning.
ENOUGH_SEEDS = 3


@dataclass(frozen=True)
class Mean:
    """A mean over seeds; ``low`` and ``high`` are None with a single seed."""

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
