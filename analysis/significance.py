"""p-values of correlations, and their correction for the number of tests.

The unit of replication is the seed: snapshots of one stream, and streams of one seed, are not
independent, so a textbook p-value of all rows would be far too small. Each seed's share of the
covariance is one number, and a t test asks whether these numbers differ from 0 on average. This
is the score form of a test with cluster-robust errors (Liang & Zeger 1986), and holds its level
for few clusters that differ in variance (Ibragimov & Müller 2010).

A t test has no smallest p-value, but leans on the t distribution to go low: a test that only flips
the signs of the seeds' shares, and assumes no distribution, cannot go below `smallest_p`.
"""

from __future__ import annotations

import numpy as np
from coefficients import Series, is_constant
from intervals import Array
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.multitest import multipletests

#: Least number of streams of a repeated-measures correlation, as in pingouin.
LEAST_STREAMS = 3


def smallest_p(seeds: int) -> float:
    """The smallest two-sided p-value of a sign-flip test over so many seeds: 0.0625 for 5."""
    return float(min(1.0, 2.0 ** (1 - seeds)))


def p_over_seeds(scores: Series) -> float | None:
    """Two-sided p-value of a t test over the seeds' shares of the covariance of x and y.

    Args:
        scores: series whose Pearson correlation is the figure to be tested.

    Returns:
        In [0, 1]; None with fewer than two seeds, or if all seeds' shares are equal.
    """
    products = (scores.x - scores.x.mean()) * (scores.y - scores.y.mean())
    _, seed = np.unique(scores.seed, return_inverse=True)
    shares = np.asarray(np.bincount(seed, weights=products), dtype=float)
    if shares.size < 2 or is_constant(shares):
        return None
    return float(stats.ttest_1samp(shares, 0).pvalue)


def repeated_measures_p(points: Series) -> tuple[int, float] | None:
    """Degrees of freedom and p-value of the repeated-measures correlation within streams.

    They are those of the analysis of covariance of Bakdash & Marusich (2017), a regression of y
    on x with an intercept per stream, which stands for the participant: its snapshots count as
    independent once the stream's mean is taken out, which a trend or a slow drift along the
    stream violates. The p-value is then too small.

    Args:
        points: at least two per stream; x and y vary within streams.

    Returns:
        None with fewer than `LEAST_STREAMS` streams.
    """
    streams = np.unique(points.stream)
    if streams.size < LEAST_STREAMS:
        return None
    # the regression is solved numerically: x and y in units of their own spread
    x, y = (values / values.std() for values in (points.x, points.y))
    found = OLS(y, np.column_stack([x, points.stream[:, None] == streams])).fit()
    with np.errstate(divide="ignore"):  # of a perfect fit
        return int(found.df_resid), float(found.pvalues[0])


def corrected(p: Array, method: str) -> Array:
    """p-values corrected for their number; NaN stays NaN and is not counted as a test.

    Args:
        p: shape (tests,).
        method: ``fdr_bh`` keeps the expected share of false findings down (Benjamini & Hochberg
            1995), ``holm`` the probability of a single one (Holm 1979).
    """
    tested = np.isfinite(p)
    found = np.full(p.shape, np.nan)
    if tested.any():
        found[tested] = multipletests(p[tested], method=method)[1]
    return found
