"""Weights that moved least go first."""

from __future__ import annotations

from torch import Tensor

from raylot.masks.context import PruningContext


def score(context: PruningContext) -> dict[str, Tensor]:
    """Returns the distance from the value before training (Zhou et al. 2019)."""
    return {name: (weight - context.start[name]).abs() for name, weight in context.weights.items()}
