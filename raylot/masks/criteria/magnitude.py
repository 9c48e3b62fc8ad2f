"""Weights that are small after training go first."""

from __future__ import annotations

from torch import Tensor

from raylot.masks.context import PruningContext


def score(context: PruningContext) -> dict[str, Tensor]:
    """Returns |w| after training (Han et al. 2015; Frankle & Carbin 2019)."""
    return {name: weight.abs() for name, weight in context.weights.items()}
