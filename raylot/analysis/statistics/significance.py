"""p-values of correlations, and their correction for the number of tests.

The unit of replication is the seed: snapshots of one stream, and streams of one seed, are not
independent, so a textbook p-value of all rows would be far too small. Each seed's share of the
covariance is one number, and a t test asks whether these numbers differ from 0 on average. This
is the score form of a test with cluster-robust errors (Liang & Zeger 1986), and holds its level
for few clusters that differ in variance (Ibragimov & Müller 2010).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import special

from raylot.analysis.statistics.coefficients import Series, is_constant, sums_by, within_range
from raylot.analysis.statistics.intervals import Array

#: Least number of streams of a repeated-measures correlation, as in pingouin.
LEAST_STREAMS = 3


def p_over_seeds(scores: Series) -> Array:
    """Two-sided p-values of a t test over the seeds' shares of the covariance of x and y.

    Args:
        scores: series whose Pearson correlations are the figures to be tested.

    Returns:
        Shape (x measures, y measures), in [0, 1]; NaN with fewer than two seeds, or if all seeds'
        shares are equal.
    """
    x, y = (within_range(values - values.mean(axis=0)) for values in (scores.x, scores.y))
    present, seed = np.unique(scores.seed, return_inverse=True)
    products = (x[:, :, None] * y[:, None, :]).reshape(len(x), -1)
    shares = sums_by(products, seed, len(present))
    seeds = len(shares)
    found = np.full(shares.shape[1], np.nan)
    if seeds > 1:
        differ = ~is_constant(shares)
        own = within_range(shares[:, differ])
        t = own.mean(axis=0) / (own.std(axis=0, ddof=1) / np.sqrt(seeds))
        found[differ] = _two_sided(t, seeds - 1)
    return found.reshape(x.shape[1], y.shape[1])


def repeated_measures_p(points: Series, estimate: Array) -> tuple[int, Array] | None:
    """Degrees of freedom and p-values of the repeated-measures correlation within streams.

    They are those of the analysis of covariance of Bakdash & Marusich (2017), a regression of y
    on x with an intercept per stream, which stands for the participant: its snapshots count as
    independent once the stream's mean is taken out, which a trend or a slow drift along the
    stream violates. The p-value is then too small.

    Args:
        points: at least two per stream.
        estimate: their correlations, shape (x measures, y measures); p is NaN where they are.

    Returns:
        None with fewer than `LEAST_STREAMS` streams.
    """
    streams = np.unique(points.stream).size
    if streams < LEAST_STREAMS:
        return None
    freedom = points.task.size - streams - 1
    with np.errstate(divide="ignore"):  # of a perfect fit
        t = estimate * np.sqrt(freedom / (1 - estimate**2))
    return freedom, _two_sided(t, freedom)


def _two_sided(t: Array, freedom: int) -> Array:
    return np.asarray(2 * special.stdtr(freedom, -np.abs(t)))


def corrected(p: Array, method: Literal["fdr_bh", "holm"]) -> Array:
    """p-values corrected for their number; NaN stays NaN and is not counted as a test.

    Args:
        p: shape (tests,).
        method: ``fdr_bh`` keeps the expected share of false findings down (Benjamini & Hochberg
            1995), ``holm`` the probability of a single one (Holm 1979).
    """
    tested = np.isfinite(p)
    found = np.full(p.shape, np.nan)
    order = np.argsort(p[tested])
    own, tests = p[tested][order], order.size
    rank = np.arange(1, tests + 1)
    if method == "fdr_bh":
        own = np.minimum.accumulate((own * (tests / rank))[::-1])[::-1]
    else:
        own = np.maximum.accumulate(own * (tests + 1 - rank))
    back = np.empty(tests)
    back[order] = np.minimum(own, 1)
    found[tested] = back
    return found
