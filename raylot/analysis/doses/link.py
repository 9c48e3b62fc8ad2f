"""Do tickets and plasticity go together over doses, at equal training steps?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from raylot.analysis.doses.trajectories import method
from raylot.analysis.statistics.coefficients import is_constant
from raylot.analysis.statistics.intervals import Array, Mean, mean_interval

#: A correlation's Fisher z has no finite variance with fewer points.
LEAST_DOSES = 4

#: Keeps Fisher's z of a perfect correlation finite.
_LARGEST = 1 - 1e-9

#: Most orders of the doses that are tried.
_ORDERS = 9999


@dataclass(frozen=True)
class Link:
    """How plasticity and tickets go together over doses.

    Attributes:
        correlation: mean over seeds of the Pearson correlation over doses, with its t interval,
            both by way of Fisher's z; None if it cannot be told.
        without: method -> the same without its doses; None where too few doses are left.
        ranks: Spearman's correlation of the doses' means over seeds; NaN if one measure does not
            vary.
        p: two-sided, of the Pearson correlation of these means, by permuting the doses: how often
            methods that have effects of their own, unrelated in both measures, give as much. With
            one dose each of two methods, and three each of two others, it is 1/144 at least.
        differ_p: of Friedman's test of whether the doses differ in plasticity.
        doses: that were compared.
        seeds: that have values at all of these.
    """

    correlation: Mean | None
    without: dict[str, Mean | None]
    ranks: float
    p: float
    differ_p: float
    doses: list[str]
    seeds: list[int]

    @property
    def methods(self) -> list[str]:
        """The methods of the doses."""
        return list(dict.fromkeys(map(method, self.doses)))


def linked(plasticity: pd.DataFrame, tickets: pd.DataFrame, confidence: float = 0.95) -> Link:
    """Correlates plasticity with tickets over doses, seed by seed.

    Seeds are the unit of replication, and the doses are what they are: the interval says what
    other seeds would give at the same doses. Only ``without`` and ``p`` say something of others.

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
    ranks, p = _of_means(x.mean().to_numpy(), y.mean().to_numpy(), doses)
    return Link(
        correlation=_correlation(x, y, doses, confidence),
        without={
            name: _correlation(x, y, [d for d in doses if method(d) != name], confidence)
            for name in methods
        },
        ranks=ranks,
        p=p,
        differ_p=_differ(x.to_numpy()),
        doses=doses,
        seeds=seeds,
    )


def _correlation(
    x: pd.DataFrame, y: pd.DataFrame, doses: Sequence[str], confidence: float
) -> Mean | None:
    if len(doses) < LEAST_DOSES:
        return None
    own, other = (_centred(frame[list(doses)].to_numpy(dtype=float)) for frame in (x, y))
    scale = np.sqrt((own**2).sum(axis=1) * (other**2).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        each = (own * other).sum(axis=1) / np.where(scale > 0, scale, np.nan)
    z = mean_interval(np.arctanh(np.clip(each, -_LARGEST, _LARGEST)), confidence)
    if z is None:
        return None
    low, high = (None if bound is None else math.tanh(bound) for bound in (z.low, z.high))
    return Mean(math.tanh(z.mean), low, high, z.seeds)


def _centred(values: Array) -> Array:
    return np.asarray(values - values.mean(axis=1, keepdims=True))


def _of_means(x: Array, y: Array, doses: Sequence[str]) -> tuple[float, float]:
    """Spearman's correlation of the doses' means, and p of their Pearson correlation."""
    if len(doses) < LEAST_DOSES or is_constant(np.stack([x, y], axis=1)).any():
        return math.nan, math.nan
    from scipy import stats  # takes half a second, which only this analysis pays

    own, other = x - x.mean(), y - y.mean()
    found = np.abs(own[_orders(doses)] @ other)
    # The doses' own order comes first; an order that differs from it by rounding is no smaller.
    p = float((found >= found[0] * (1 - 1e-9)).mean())
    return float(stats.spearmanr(x, y).statistic), p


def _orders(doses: Sequence[str]) -> npt.NDArray[np.intp]:
    """Returns orders of the doses that are as likely as theirs if methods have nothing to do with
    the link: doses of a method change places, and methods with equally many doses.

    A method may change both measures for reasons of its own, and all its doses alike, so that a
    dose never takes the place of another method's dose alone.

    Returns:
        Shape (orders, doses), the doses' own order first: all of them, or if they are more than
        `_ORDERS` so many drawn at random.
    """
    members: dict[str, list[int]] = {}
    for index, dose in enumerate(doses):
        members.setdefault(method(dose), []).append(index)
    by_count: dict[int, list[list[int]]] = {}
    for own in members.values():
        by_count.setdefault(len(own), []).append(own)
    places = [place for group in by_count.values() for own in group for place in own]
    count = math.prod(
        math.factorial(len(group)) * math.factorial(size) ** len(group)
        for size, group in by_count.items()
    )
    if count <= _ORDERS:
        of_groups = [
            [
                list(itertools.chain(*inside))
                for methods in itertools.permutations(group)
                for inside in itertools.product(*map(itertools.permutations, methods))
            ]
            for group in by_count.values()
        ]
        orders = [list(itertools.chain(*parts)) for parts in itertools.product(*of_groups)]
    else:
        generator = np.random.default_rng(0)
        orders = [places]
        for _ in range(_ORDERS):
            orders.append(
                [
                    int(place)
                    for group in by_count.values()
                    for one in generator.permutation(len(group))
                    for place in generator.permutation(group[one])
                ]
            )
    found = np.empty((len(orders), len(doses)), dtype=np.intp)
    found[:, places] = orders
    return found


def _differ(values: Array) -> float:
    """Friedman's test of equal doses, with seeds as blocks; NaN if it cannot be made."""
    seeds, doses = values.shape
    if seeds < 2 or doses < 3 or (values == values[:, :1]).all():
        return math.nan
    from scipy import stats

    return float(stats.friedmanchisquare(*values.T).pvalue)
