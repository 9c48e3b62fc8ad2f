"""Predicts from observations where one more would lie."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from raylot.analysis.statistics.intervals import t_quantile

#: Tasks on either side of a task that count as its neighbours.
NEIGHBOURS = 10
_LEAST_PAIRS = 3


def prediction_interval(
    values: npt.ArrayLike, confidence: float = 0.95, independent: int | None = None, more: int = 1
) -> tuple[float, float] | None:
    """The t interval in which one more value lies, or the mean of several more, if all are draws
    from one normal distribution: mean -+ t * s * sqrt(1/more + 1/n), with n - 1 degrees of freedom.

    Args:
        values: shape (observations,).
        confidence: of the interval, in (0, 1).
        independent: n, where observations share parts, as the pairs of n tickets do; left out,
            every observation counts.
        more: of how many more values the mean is predicted.

    Returns:
        None with fewer than two observations.
    """
    given = np.asarray(values, dtype=float)
    n = given.size if independent is None else independent
    if given.size < 2 or n < 2:
        return None
    half = t_quantile(confidence, n - 1) * float(given.std(ddof=1)) * np.sqrt(1 / more + 1 / n)
    return float(given.mean() - half), float(given.mean() + half)


def neighbours_interval(
    accuracies: pd.Series[float], task: int, confidence: float = 0.95
) -> tuple[float, float] | None:
    """Returns an interval for a second run's value, if runs differ as neighbouring tasks do.

    The root mean square difference of successive values estimates the spread of the difference of
    two draws whatever the trend (von Neumann et al. 1941, "The mean square successive
    difference"); here of disjoint pairs of tasks, as many as the degrees of freedom. Differences
    between whole runs come on top, so the interval is, if anything, too narrow.

    Args:
        accuracies: a run's values, indexed by task. Task 0 is no neighbour of any: it alone
            starts from a fresh network.
        task: which to judge.
        confidence: of the interval, in (0, 1).

    Returns:
        None with fewer than three pairs within `NEIGHBOURS` tasks.
    """
    near = accuracies.sort_index().loc[max(1, task - NEIGHBOURS) : task + NEIGHBOURS]
    pairs = near.to_numpy()[: near.size // 2 * 2].reshape(-1, 2)
    if len(pairs) < _LEAST_PAIRS:
        return None
    spread = float(np.sqrt(np.mean(np.diff(pairs, axis=1) ** 2)))
    half = t_quantile(confidence, len(pairs)) * spread
    return float(accuracies.loc[task] - half), float(accuracies.loc[task] + half)


def correlation_interval(
    correlation: float, pairs: int, confidence: float = 0.95
) -> tuple[float, float] | None:
    """Returns an interval for a second run's correlation, if both are of independent pairs.

    Fisher's z of a correlation of n pairs has the variance 1 / (n - 3), so that of a difference of
    two is 2 / (n - 3). Snapshots of a stream depend on each other, so the interval is, if anything,
    too narrow.

    Args:
        correlation: a run's, in [-1, 1].
        pairs: n, of how many pairs of values.
        confidence: of the interval, in (0, 1).

    Returns:
        None with fewer than four pairs, or if these lie on a line.
    """
    if pairs < 4 or abs(correlation) >= 1 - 1e-12:
        return None
    half = special.ndtri((1 + confidence) / 2) * np.sqrt(2 / (pairs - 3))
    z = np.arctanh(correlation)
    return float(np.tanh(z - half)), float(np.tanh(z + half))
