"""Weights that are large before training or after it go first."""

from __future__ import annotations

from torch import Tensor

from raylot.masks.context import PruningContext
from raylot.masks.criteria import small_final, small_init
from raylot.masks.criteria._both import lower_rank


def score(context: PruningContext) -> dict[str, Tensor]:
    """Returns the lower of the ranks of -|w| before and after training (Zhou et al. 2019)."""
    return lower_rank(small_init.score(context), small_final.score(context), context.masks)
