"""Weights that kept their sign in the training, or that grew least, go first."""

from __future__ import annotations

from torch import Tensor

from raylot.masks.context import PruningContext
from raylot.masks.criteria import magnitude_increase
from raylot.masks.criteria._signs import of_sign


def score(context: PruningContext) -> dict[str, Tensor]:
    """Returns the increase of |w| where a weight changed its sign, else 0 (Zhou et al. 2019)."""
    return of_sign(context, magnitude_increase.score(context), same=False)
