"""Scores only weights that kept their sign in the training, or only those that changed it."""

from __future__ import annotations

import torch
from torch import Tensor

from raylot.masks.context import PruningContext
from raylot.masks.criteria import random

#: Below every score that is not negative, above every negative one of float32.
_ALMOST_ZERO = 1e-100


def of_sign(context: PruningContext, scores: dict[str, Tensor], *, same: bool) -> dict[str, Tensor]:
    """Returns the scores of weights whose sign after training is the same as before, or is not.

    The other weights have the score 0, as Zhou et al. (2019) have it, and the same order: chance
    decides among them.
    """
    draws, trained, found = random.score(context), context.weights, {}
    for name, own in scores.items():
        kept = trained[name].sign() == context.start[name].sign()
        found[name] = torch.where(kept == same, own.double(), -_ALMOST_ZERO * draws[name])
    return found
