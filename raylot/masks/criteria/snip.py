"""Weights to whose removal the loss is least sensitive go first: single-shot network pruning."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from raylot.masks.context import PruningContext


def score(context: PruningContext) -> dict[str, Tensor]:
    """Returns |dL/dw x w| before training (Lee et al. 2019, SNIP).

    L is the mean cross-entropy on ``examples_per_class`` training examples of each class, drawn
    anew for each ticket and round. The authors divide by the sum of all scores, which changes no
    order. A weight that the loss does not depend on has the score 0.
    """
    inputs, labels = context.balanced_batch(context.options.examples_per_class)
    weights = {name: context.network.get_parameter(name) for name in context.masks}
    loss = F.cross_entropy(context.network(inputs), labels)
    slopes = torch.autograd.grad(
        loss, list(weights.values()), allow_unused=True, materialize_grads=True
    )
    return {
        n: (slope * w.detach()).abs() for (n, w), slope in zip(weights.items(), slopes, strict=True)
    }
