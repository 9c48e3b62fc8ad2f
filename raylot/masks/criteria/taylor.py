"""Weights whose removal is expected to change the loss least go first."""

from __future__ import annotations

from torch import Tensor

from raylot.masks.context import PruningContext


def score(context: PruningContext) -> dict[str, Tensor]:
    """Returns |mean of dL/dw x w| over the training: the change of the loss if w were 0, by its
    first-order Taylor expansion (Molchanov et al. 2017, who score whole feature maps so)."""
    return {name: mean.abs() for name, mean in context.gradients.products.items()}
