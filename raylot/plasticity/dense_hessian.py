"""Hessian-vector products of ReLU multilayer perceptrons, written out.

They take half the time of automatic differentiation, whose bookkeeping costs as much as the
arithmetic of a small network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raylot.networks.chain import flattens_examples
from raylot.plasticity.example_gradients import treats_examples_apart


def dense_hessian(
    network: nn.Module, inputs: Tensor, labels: Tensor
) -> Callable[[Sequence[Tensor]], list[Tensor]] | None:
    """Returns the Hessian of the mean cross entropy in all parameters, as a function v -> Hv.

    It applies the R-operator of Pearlmutter (1994) to backpropagation: it computes tangents of
    everything in the forward and the backward pass.

    Args:
        network: in evaluation mode.
        inputs: ``examples x ...``.
        labels: ``examples``; or targets of regression, ``examples x targets``.

    Returns:
        A function of a tensor per parameter, in their order and shapes. None unless the labels are
        classes and the network is a chain of trainable linear layers with a ReLU between each two.
    """
    layers = None if labels.is_floating_point() else _chain(network, inputs.ndim)
    if layers is None or not all(p.requires_grad for p in network.parameters()):
        return None
    weights = [layer.weight.detach() for layer in layers]
    count = len(inputs)
    entered, positive = [inputs.flatten(1)], []
    with torch.no_grad():
        for layer in layers[:-1]:
            outputs = layer(entered[-1])
            positive.append((outputs > 0).to(outputs))
            entered.append(outputs.relu())
        logits = layers[-1](entered[-1])
        chances = logits.softmax(1)
        delta = (chances - F.one_hot(labels, logits.shape[1])) / count
        deltas = [delta]
        for weight, sign in zip(weights[:0:-1], reversed(positive), strict=True):
            deltas.insert(0, (deltas[0] @ weight) * sign)

    def product(direction: Sequence[Tensor]) -> list[Tensor]:
        parts = iter(direction)
        of_weights = []
        tangents: list[Tensor | None] = [None]  # of each layer's input; None: it is constant
        moved = inputs
        for i, layer in enumerate(layers):
            of_weights.append(next(parts))
            moved = entered[i] @ of_weights[i].T
            tangent = tangents[i]
            if tangent is not None:
                moved.addmm_(tangent, weights[i].T)
            if layer.bias is not None:
                moved += next(parts)
            if i < len(positive):
                tangents.append(moved.mul_(positive[i]))
        bent = chances * moved
        bent = (bent - chances * bent.sum(1, keepdim=True)) / count
        found: list[Tensor] = []
        for i in reversed(range(len(layers))):
            if layers[i].bias is not None:
                found.append(bent.sum(0))
            of_weight = bent.T @ entered[i]
            tangent = tangents[i]
            if tangent is not None:
                of_weight.addmm_(deltas[i].T, tangent)
            found.append(of_weight)
            if i:
                bent = (bent @ weights[i]).addmm_(deltas[i], of_weights[i]).mul_(positive[i - 1])
        return found[::-1]

    return product


def _chain(network: nn.Module, dimensions: int) -> list[nn.Linear] | None:
    """Returns the linear layers of a chain Linear, ReLU, ..., Linear; None for other networks."""
    modules = list(network) if type(network) is nn.Sequential else []
    if modules and flattens_examples(modules[0]):
        modules = modules[1:]
    elif dimensions != 2:
        return None
    layers = [module for module in modules[::2] if isinstance(module, nn.Linear)]
    signs = [module for module in modules[1::2] if isinstance(module, nn.ReLU)]
    alternate = len(modules) % 2 == 1 and len(layers) + len(signs) == len(modules)
    return layers if alternate and treats_examples_apart(network) else None
