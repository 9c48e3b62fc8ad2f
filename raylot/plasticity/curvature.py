"""Curvature of the loss in the parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from raylot.foundation.randomness import RandomKey
from raylot.masks.pruning import live_vector
from raylot.training import Masks

#: Maps a tensor per parameter to a tensor per parameter.
Product = Callable[[Sequence[Tensor]], Sequence[Tensor]]


def sharpness(
    loss: Tensor,
    parameters: Mapping[str, Tensor],
    iterations: int,
    key: RandomKey,
    masks: Masks | None = None,
    product: Product | None = None,
) -> float:
    """Returns the Hessian eigenvalue of largest magnitude, with its sign, by power iteration.

    It is negative where the strongest curvature bends the loss down. The estimate is the Rayleigh
    quotient v'Hv of the last iterate, so up to rounding its magnitude is never above that of the
    true eigenvalue. It needs many iterations if the largest two eigenvalues are close or of
    opposite sign.

    Args:
        loss: a scalar that can be differentiated twice in the parameters; its graph is kept.
        parameters: parameters by name.
        iterations: Hessian-vector products, at least 1.
        key: decides the start vector.
        masks: limit the Hessian to surviving weights and parameters without a mask.
        product: multiplies the loss's Hessian with a vector, both as a tensor per parameter, if
            there is a faster way than automatic differentiation.

    Returns:
        0 if the Hessian is 0; NaN if it is not finite.

    Raises:
        RuntimeError: a function of the network has no second derivative.
    """
    live = live_vector(parameters, masks or {})
    multiply = hessian_product(loss, parameters, live, product)
    if multiply is None:
        return 0.0
    image = _start(live, key) * live
    for _ in range(iterations):
        length = float(torch.linalg.vector_norm(image, dtype=torch.float64))
        if length == 0:
            return 0.0
        vector = image / length
        image = multiply(vector)
    return float(vector.double() @ image.double())


def hessian_product(
    loss: Tensor, parameters: Mapping[str, Tensor], live: Tensor, product: Product | None = None
) -> Callable[[Tensor], Tensor] | None:
    """Returns v -> Hv of the Hessian in live parameters, of one vector for all parameters.

    Args:
        loss: see `sharpness`.
        parameters: parameters by name.
        live: 1 for live parameters and 0 for others, as of `live_vector`; v must be 0 where it is.
        product: see `sharpness`.

    Returns:
        None if the gradient is constant, so that the Hessian is 0.
    """
    product = product or _by_differentiation(loss, list(parameters.values()))
    if product is None:
        return None
    shapes = [tensor.shape for tensor in parameters.values()]
    sizes = [tensor.numel() for tensor in parameters.values()]

    def multiply(vector: Tensor) -> Tensor:
        parts = zip(vector.split(sizes), shapes, strict=True)
        return _flat(product([part.view(shape) for part, shape in parts])) * live

    return multiply


def _by_differentiation(loss: Tensor, tensors: list[Tensor]) -> Product | None:
    """Returns the product by automatic differentiation; None if the gradient is constant."""
    first = torch.autograd.grad(
        loss, tensors, create_graph=True, allow_unused=True, materialize_grads=True
    )
    curved = [i for i, part in enumerate(first) if part.requires_grad]
    _check_no_error_waits([first[i] for i in curved])

    def product(direction: Sequence[Tensor]) -> Sequence[Tensor]:
        # Hv is the gradient of g'v (Pearlmutter 1994).
        return torch.autograd.grad(
            [first[i] for i in curved], tensors, [direction[i] for i in curved],
            retain_graph=True, allow_unused=True, materialize_grads=True,
        )  # fmt: skip

    return product if curved else None


def _check_no_error_waits(gradients: Sequence[Tensor]) -> None:
    """Refuses functions marked ``once_differentiable``, whose curvature autograd takes for 0."""
    seen, waiting = set(), [gradient.grad_fn for gradient in gradients]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        if node.name() == "torch::autograd::Error":
            raise RuntimeError("a function of the network can be differentiated once only")
        seen.add(node)
        waiting += [following for following, _ in node.next_functions]


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def _start(like: Tensor, key: RandomKey) -> Tensor:
    """Draws a start vector on the CPU, so that it is the same for every device."""
    generator = torch.Generator().manual_seed(key.torch_seed())
    return torch.randn(like.shape, generator=generator).to(like)
