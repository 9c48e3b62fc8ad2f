"""Do tickets and plasticity go together over doses, at equal training steps?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from raylot.analysis.doses.strengths import Strengths, over_strengths
from raylot.analysis.doses.trajectories import method
from raylot.analysis.statistics.coefficients import is_constant
from raylot.analysis.statistics.intervals import Array, Mean, mean_interval

#: A correlation's Fisher z has no finite variance with fewer points.
LEAST_DOSES = 4

#: Keeps Fisher's z of a perfect correlation finite.
_LARGEST = 1 - 1e-9


@dataclass(frozen=True)
class DoseLink:
    """How plasticity and tickets go together over doses.

    Attributes:
        correlation: mean over seeds of the Pearson correlation over doses, with its t interval,
            both by way of Fisher's z; None if it cannot be told.
        without: method -> the same without its doses; None where too few doses are left.
        ranks: Spearman's correlation of the doses' means over seeds; NaN if one measure does not
            vary.
        strengths: whether both go together over the strengths of each method.
        differ_p: of Friedman's test of whether the doses differ in plasticity.
        doses: that were compared.
        seeds: that have values at all of these.
    """

    correlation: Mean | None
    without: dict[str, Mean | None]
    ranks: float
    strengths: Strengths
    differ_p: float
    doses: list[str]
    seeds: list[int]

    @property
    def methods(self) -> list[str]:
        """The methods of the doses."""
        return list(dict.fromkeys(map(method, self.doses)))


def link_doses(
    plasticity: pd.DataFrame, tickets: pd.DataFrame, confidence: float = 0.95
) -> DoseLink:
    """Correlates plasticity with tickets over doses, seed by seed.

    Seeds are the unit of replication, and the doses are what they are: the interval says what
    other seeds would give at the same doses. Only ``without`` and ``strengths`` say something of
    others.

    Args:
        plasticity, tickets: a value per seed and dose, of equal shape; NaN where it is missing.
        confidence: of the intervals.

    A dose that no more than half of the seeds have is left out, then a seed that lacks a dose.
    """
    known = plasticity.notna() & tickets.notna()
    doses = [str(dose) for dose in known if known[dose].sum() > len(known) / 2]
    seeds = [int(seed) for seed in known.index[known[doses].all(axis=1)]] if doses else []
    x, y = (frame.loc[seeds, doses] for frame in (plasticity, tickets))
    methods = dict.fromkeys(map(method, doses))
    return DoseLink(
        correlation=_correlation(x, y, doses, confidence),
        without={
            name: _correlation(x, y, [d for d in doses if method(d) != name], confidence)
            for name in methods
        },
        ranks=_ranks(x.mean().to_numpy(), y.mean().to_numpy()),
        strengths=over_strengths(x, y),
        differ_p=_differ(x.to_numpy()),
        doses=doses,
        seeds=seeds,
    )


def _correlation(
    x: pd.DataFrame, y: pd.DataFrame, doses: Sequence[str], confidence: float
) -> Mean | None:
    if len(doses) < LEAST_DOSES:
        return None
    values = [frame[list(doses)].to_numpy(dtype=float) for frame in (x, y)]
    varies = ~np.any([is_constant(measured.T) for measured in values], axis=0)
    own, other = (_centred(measured[varies]) for measured in values)
    each = (own * other).sum(axis=1) / np.sqrt((own**2).sum(axis=1) * (other**2).sum(axis=1))
    z = mean_interval(np.arctanh(np.clip(each, -_LARGEST, _LARGEST)), confidence)
    if z is None:
        return None
    low, high = (None if bound is None else math.tanh(bound) for bound in (z.low, z.high))
    return Mean(math.tanh(z.mean), low, high, z.seeds)


def _centred(values: Array) -> Array:
    return np.asarray(values - values.mean(axis=1, keepdims=True))


def _ranks(x: Array, y: Array) -> float:
    """Spearman's correlation of the doses' means."""
    if len(x) < LEAST_DOSES or is_constant(np.stack([x, y], axis=1)).any():
        return math.nan
    from scipy import stats  # takes half a second, which only this analysis pays

    return float(stats.spearmanr(x, y).statistic)


def _differ(values: Array) -> float:
    """Friedman's test of equal doses, with seeds as blocks; NaN if it cannot be made."""
    seeds, doses = values.shape
    if seeds < 2 or doses < 3 or (values == values[:, :1]).all():
        return math.nan
    from scipy import stats

    return float(stats.friedmanchisquare(*values.T).pvalue)
