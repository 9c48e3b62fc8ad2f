"""Weights that grew least go first."""

from __future__ import annotations

from torch import Tensor

from raylot.masks.context import PruningContext


def score(context: PruningContext) -> dict[str, Tensor]:
    """Returns |w| after training minus |w| before it (Zhou et al. 2019)."""
    return {
        name: weight.abs() - context.start[name].abs() for name, weight in context.weights.items()
    }
