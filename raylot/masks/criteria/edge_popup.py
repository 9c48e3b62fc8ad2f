"""Weights whose trained scores are small go first: the supermask that edge-popup finds."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.func import functional_call

from raylot.foundation.errors import OptionError
from raylot.masks.context import PruningContext
from raylot.training.losses import loss_of


def score(context: PruningContext) -> dict[str, Tensor]:
    """Returns |s| after a training of the scores s, one per weight (Ramanujan et al. 2020).

    Weights stay where they are before training. In each step the network works with w m, where
    the mask m keeps the highest |s|, as many as this round leaves. m passes the gradient straight
    through, so that dL/ds = dL/d(w m) x w x sign(s). SGD with ``edge_popup_lr`` and
    ``edge_popup_momentum`` minimises the loss for as many epochs as any training has.
    Scores begin evenly spread over +-1 / sqrt(inputs of a unit). The authors' schedule and weight
    decay are left out.

    Raises:
        OptionError: the scores diverged.
    """
    network, lr = context.network, context.options.edge_popup_lr
    weights = context.weights
    scores = {}
    for name, weight in weights.items():
        bound = weight[0].numel() ** -0.5
        drawn = torch.empty(weight.shape).uniform_(-bound, bound)
        scores[name] = drawn.to(weight).requires_grad_()
    momentum = context.options.edge_popup_momentum
    stepper = torch.optim.SGD([*scores.values()], lr=lr, momentum=momentum)
    for epoch in range(context.epochs):
        for inputs, labels in replace(context, key=context.key.child("epoch", epoch)).batches():
            sizes = {name: own.abs() for name, own in scores.items()}
            masks = context.keep({name: size.detach() for name, size in sizes.items()})
            masked = {
                name: weights[name] * (masks[name] + (size - size.detach()))
                for name, size in sizes.items()
            }
            stepper.zero_grad()
            outputs = functional_call(network, masked, (inputs,))
            loss_of(context.task, outputs, labels).backward()
            stepper.step()
    if not all(bool(own.isfinite().all()) for own in scores.values()):
        raise OptionError(f"edge_popup_lr={lr:g}: must be smaller, as scores are not finite")
    return {name: own.detach().abs() for name, own in scores.items()}
