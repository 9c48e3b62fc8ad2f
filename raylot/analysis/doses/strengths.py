"""Do tickets and plasticity go together over the strengths of each method?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from raylot.analysis.doses.trajectories import method
from raylot.analysis.statistics.intervals import Array

#: Most combinations of the methods' signs that are tried; of more methods they are drawn.
_SIGNS = 9999


@dataclass(frozen=True)
class Strengths:
    """How plasticity and tickets go together within methods.

    Attributes:
        products: method of at least two doses -> the covariance of both measures over its doses.
        p: two-sided: how often the sum of these would be as large if each had a random sign; 1
            with fewer than two methods.
    """

    products: dict[str, float]
    p: float

    @property
    def direction(self) -> int:
        """The sign of the sum of covariances."""
        return int(np.sign(sum(self.products.values())))


def over_strengths(plasticity: pd.DataFrame, tickets: pd.DataFrame) -> Strengths:
    """Compares the doses of a method with each other only, and takes a method for one unit.

    A method may move tickets by its strength for reasons of its own, up or down. Its strength
    moves plasticity too, so that all of its doses and seeds then agree on a link that is none. But
    methods would not agree with each other: the sign of each covariance would be as likely the
    other one, whatever the effects of the methods and the differences between seeds. So all signs
    are tried (a sign-flip test, Fisher 1935). A covariance multiplies one seed's plasticity with
    the other seeds' tickets: noise that both measures of one stream share says nothing of doses.

    Args:
        plasticity, tickets: a value per seed and dose, none missing.
    """
    members: dict[str, list[str]] = {}
    for dose in plasticity:
        members.setdefault(method(str(dose)), []).append(str(dose))
    products = {
        name: _covariance(plasticity[doses].to_numpy(float), tickets[doses].to_numpy(float))
        for name, doses in members.items()
        if len(doses) > 1 and len(plasticity) > 1
    }
    return Strengths(products, _p(np.asarray(list(products.values()))))


def least_methods(confidence: float) -> int:
    """Returns how many methods `Strengths.p` needs to be able to fall to 1 - confidence."""
    return math.ceil(round(1 - math.log2(1 - confidence), 9))


def _covariance(x: Array, y: Array) -> float:
    """The mean, over pairs of different seeds, of the covariance of one's x with the other's y.

    Args:
        x, y: shape (seeds, doses).
    """
    seeds = len(x)
    own, other = (values - values.mean(axis=1, keepdims=True) for values in (x, y))
    every = own.sum(axis=0) @ other.sum(axis=0) - (own * other).sum()
    return float(every / (seeds * (seeds - 1) * x.shape[1]))


def _p(products: Array) -> float:
    if len(products) < 2:
        return 1.0
    from scipy import stats  # takes half a second, which only this analysis pays

    flipped = stats.permutation_test(
        (products,), np.sum, permutation_type="samples", n_resamples=_SIGNS, rng=0
    )  # of a single sample, it flips signs
    return float(flipped.pvalue)
