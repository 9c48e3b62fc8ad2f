"""Intervals of an estimate by leaving out one seed after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from raylot.analysis.statistics.intervals import Array, Mean, t_quantile


def jackknife(
    seeds: Sequence[int], estimate: Callable[[list[int]], Array], confidence: float
) -> list[Mean]:
    """Estimates from all seeds, with t intervals from the estimates that lack one (Tukey 1958).

    All that a seed shares, between its snapshots and its methods, is left out with it, so that
    seeds are the unit of replication, whatever the estimate itself takes for independent.

    Args:
        seeds: all of them.
        estimate: computes figures of shape (terms,) from some of the seeds.
        confidence: of the intervals, which have one degree of freedom less than there are seeds.

    Returns:
        A mean per term; without bounds if there are fewer than three seeds.
    """
    whole, count = estimate(list(seeds)), len(seeds)
    if count < 3:
        return [Mean(float(value), None, None, count) for value in whole]
    without = np.stack([estimate([s for s in seeds if s != left]) for left in seeds])
    errors = np.sqrt((count - 1) / count * ((without - without.mean(axis=0)) ** 2).sum(axis=0))
    half = t_quantile(confidence, count - 1) * errors
    return [
        Mean(float(value), float(value - own), float(value + own), count)
        for value, own in zip(whole, half, strict=True)
        if not math.isnan(value)
    ]
