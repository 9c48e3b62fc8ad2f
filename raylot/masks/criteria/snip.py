"""Weights to whose removal the loss is least sensitive go first: single-shot network pruning."""

from __future__ import annotations

import torch
from torch import Tensor

from raylot.masks.context import PruningContext
from raylot.training.losses import loss_of


def score(context: PruningContext) -> dict[str, Tensor]:
    """Returns |dL/dw x w| before training (Lee et al. 2019, SNIP).

    L is the mean loss on ``examples_per_class`` training examples of each class (in regression: on
    so many), drawn anew for each ticket and round. The authors divide by the sum of all scores,
    which changes no order. A weight that the loss does not depend on has the score 0.
    """
    inputs, labels = context.balanced_batch(context.options.examples_per_class)
    weights = {name: context.network.get_parameter(name) for name in context.masks}
    loss = loss_of(context.task, context.network(inputs), labels)
    slopes = torch.autograd.grad(
        loss, list(weights.values()), allow_unused=True, materialize_grads=True
    )
    return {
        n: (slope * w.detach()).abs() for (n, w), slope in zip(weights.items(), slopes, strict=True)
    }
