"""Weights whose removal keeps the most of the gradient go first: gradient signal preservation."""

from __future__ import annotations

import torch
from torch import Tensor

from raylot.masks.context import PruningContext
from raylot.training.losses import loss_of

#: The authors divide the logits by it, as a softmax's temperature.
_TEMPERATURE = 200


def score(context: PruningContext) -> dict[str, Tensor]:
    """Returns (H g) x w before training (Wang et al. 2020, GraSP).

    g is the gradient, and H the Hessian, of L in the survivors. L is the mean cross-entropy, with
    logits / 200, on ``examples_per_class`` training examples of each class (in regression: the mean
    squared error on so many), drawn anew for each ticket and round. To first order, removing w
    lowers |g|^2 by twice its score. The authors call the negative the score and remove the highest
    ones. A weight that L does not depend on has the score 0.
    """
    inputs, labels = context.balanced_batch(context.options.examples_per_class)
    weights = {name: context.network.get_parameter(name) for name in context.masks}
    temperature = 1 if context.task.is_regression else _TEMPERATURE
    loss = loss_of(context.task, context.network(inputs) / temperature, labels)
    slopes = torch.autograd.grad(
        loss, list(weights.values()), create_graph=True, allow_unused=True, materialize_grads=True
    )
    of_survivors = [slope[mask] for slope, mask in zip(slopes, context.masks.values(), strict=True)]
    half_norm = torch.cat(of_survivors).square().sum() / 2
    products = torch.autograd.grad(
        half_norm, list(weights.values()), allow_unused=True, materialize_grads=True
    )
    return {
        name: product * w.detach()
        for (name, w), product in zip(weights.items(), products, strict=True)
    }
