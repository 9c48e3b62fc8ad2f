"""Curvature of the loss in the parameters."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from raylot.plasticity.live import live_vector
from raylot.randomness import RandomKey
from raylot.training import Masks


def sharpness(
    loss: Tensor,
    parameters: Mapping[str, Tensor],
    iterations: int,
    key: RandomKey,
    masks: Masks | None = None,
) -> float:
    """The Hessian eigenvalue that is largest by magnitude, with its sign, by power iteration.

    Negative where the loss bends down more strongly than it bends up anywhere. It is the
    Rayleigh quotient v'Hv of the last iterate, and so never larger in magnitude than the true
    eigenvalue, up to rounding; where the largest two are close or of opposite sign it needs many
    iterations.

    Args:
        loss: a scalar that can be differentiated twice in the parameters; its graph is kept.
        parameters: by name.
        iterations: Hessian-vector products, at least 1.
        key: decides the start vector.
        masks: with masks it is an eigenvalue of the block of the Hessian that belongs to surviving
            weights and parameters without a mask.

    Returns:
        0 if the Hessian is; NaN if it is not finite.
    """
    tensors = list(parameters.values())
    first = torch.autograd.grad(
        loss, tensors, create_graph=True, allow_unused=True, materialize_grads=True
    )
    gradient = _flat(first)
    if not gradient.requires_grad:
        return 0.0
    live = live_vector(parameters, masks or {})
    vector = live * _start(gradient, key)
    value = 0.0
    for _ in range(iterations):
        length = float(vector.double().norm())
        if length == 0:
            return 0.0
        vector = vector / length
        # Hv is the gradient of g'v (Pearlmutter 1994).
        second = torch.autograd.grad(
            gradient @ vector, tensors, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        product = live * _flat(second)
        value = float(vector.double() @ product.double())
        vector = product
    return value


def _flat(tensors: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


def _start(like: Tensor, key: RandomKey) -> Tensor:
    """Drawn on the CPU, so that every device starts alike."""
    generator = torch.Generator().manual_seed(key.torch_seed())
    return torch.randn(like.shape, generator=generator).to(like)
