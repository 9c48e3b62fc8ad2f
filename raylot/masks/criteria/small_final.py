"""Weights that are large after training go first: the reverse of ``magnitude``."""

from __future__ import annotations

from torch import Tensor

from raylot.masks.context import PruningContext


def score(context: PruningContext) -> dict[str, Tensor]:
    """Returns -|w| after training (Zhou et al. 2019)."""
    return {name: -weight.abs() for name, weight in context.weights.items()}
