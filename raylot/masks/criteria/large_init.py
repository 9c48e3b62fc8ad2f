"""Weights that are small before training go first."""

from __future__ import annotations

from torch import Tensor

from raylot.masks.context import PruningContext


def score(context: PruningContext) -> dict[str, Tensor]:
    """Returns |w| before training (Zhou et al. 2019)."""
    return {name: context.start[name].abs() for name in context.masks}
