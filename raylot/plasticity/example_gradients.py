"""Gradients of single examples, from one forward and backward pass of all of them.

A layer's gradient for one example follows from the layer's input and the gradient in its output.
So one pass over many examples gives the gradients of each, if no example affects another and each
layer computes once. That is known for the modules listed here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raylot.networks.activations import CReLU, Fourier
from raylot.networks.architectures._residual import BasicBlock, PaddedShortcut
from raylot.training import Masks

#: Maps logits, ``examples x ...``, to a number for each example, summed over the examples.
Output = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Rows:
    """Gradients in some parameters, ``examples x numbers``."""

    values: Tensor

    def products(self, other: Rows) -> Tensor:
        """Returns inner products with other gradients, ``examples x other examples``."""
        return self.values @ other.values.T


@dataclass(frozen=True)
class OuterRows:
    """Gradients that are outer products of two vectors per example, never multiplied out.

    Attributes:
        left: ``examples x outputs``.
        right: ``examples x inputs``.
    """

    left: Tensor
    right: Tensor

    def products(self, other: OuterRows) -> Tensor:
        """Returns the same as `Rows` would: <u v', x y'> = <u, x> <v, y>."""
        return (self.left @ other.left.T) * (self.right @ other.right.T)


def _linear(layer: nn.Linear, inputs: Tensor, deltas: Tensor) -> Rows | OuterRows:
    if inputs.ndim == 2:
        return OuterRows(deltas, inputs)
    gradients = torch.einsum("n...o,n...i->noi", deltas, inputs)
    return Rows(gradients.flatten(1))


def _convolution(layer: nn.Conv2d, inputs: Tensor, deltas: Tensor) -> Rows:
    sizes: Any = layer.kernel_size
    padding: Any = layer.padding  # never a word: `_is_plain`
    patches = F.unfold(inputs, sizes, layer.dilation, padding, layer.stride)
    return Rows((deltas.flatten(2) @ patches.mT).flatten(1))


def _batch_norm(layer: Any, inputs: Tensor, deltas: Tensor) -> Rows:
    # Running statistics are never None: `_is_plain`.
    mean, variance = layer.running_mean.to(inputs), layer.running_var.to(inputs)
    return _gain(F.batch_norm(inputs, mean, variance, eps=layer.eps), deltas)


def _group_norm(layer: nn.GroupNorm, inputs: Tensor, deltas: Tensor) -> Rows:
    return _gain(F.group_norm(inputs, layer.num_groups, eps=layer.eps), deltas)


def _gain(normalised: Tensor, deltas: Tensor) -> Rows:
    return Rows((normalised * deltas).unsqueeze(-1).flatten(2).sum(2))


#: Layer type -> gradients in its weight, from its inputs and the gradients in its outputs.
_WEIGHTS: Mapping[type[nn.Module], Callable[[Any, Tensor, Tensor], Rows | OuterRows]] = {
    nn.Linear: _linear,
    nn.Conv2d: _convolution,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.GroupNorm: _group_norm,
}

#: Modules without parameters of their own that treat each example by itself.
_WITHOUT_PARAMETERS = (
    nn.Sequential, BasicBlock, PaddedShortcut, nn.Identity, nn.Flatten, nn.Dropout, nn.Dropout2d,
    nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Softplus, nn.Tanh, nn.Sigmoid,
    CReLU, Fourier,
    nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d,
)  # fmt: skip


def treats_examples_apart(network: nn.Module) -> bool:
    """Whether `gradients_of_all` is known to be right for a network in evaluation mode."""
    modules = [module for _, module in network.named_modules(remove_duplicate=False)]
    parameters = list(network.named_parameters(remove_duplicate=False))
    computes_once = len(modules) == len(set(modules))
    shares_none = len(parameters) == len({id(parameter) for _, parameter in parameters})
    return computes_once and shares_none and all(_is_plain(module) for module in modules)


def _is_plain(module: nn.Module) -> bool:
    if module._forward_hooks or module._forward_pre_hooks:
        return False
    if isinstance(module, nn.Conv2d):
        is_plain = module.groups == 1 and module.padding_mode == "zeros"
        return is_plain and type(module) is nn.Conv2d and not isinstance(module.padding, str)
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.running_mean is None:
        return False
    if isinstance(module, nn.Flatten) and module.start_dim != 1:
        return False
    return type(module) in _WEIGHTS or type(module) in _WITHOUT_PARAMETERS


def gradients_of_all(
    network: nn.Module, masks: Masks, output: Output, examples: Tensor
) -> list[Rows | OuterRows]:
    """Returns gradients of a number f(x) that the network computes for each example.

    Args:
        network: a network in evaluation mode, of the examples' type; `treats_examples_apart`.
        masks: leave out the gradients in pruned weights.
        output: maps logits, ``examples x ...``, to f(x), summed over the examples.
        examples: ``examples x ...``.

    Returns:
        Per trainable weight and bias the gradients of each example.
    """
    trainable = {name for name, p in network.named_parameters() if p.requires_grad}
    entered: dict[str, Tensor] = {}
    left: dict[str, Tensor] = {}

    def noting(name: str) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        def note(module: nn.Module, args: Any, output: Tensor) -> Tensor:
            entered[name] = args[0].detach()
            left[name] = torch.zeros_like(output, requires_grad=True)
            # The gradient in this 0 is the output's, even if a later layer overwrites the output.
            return output + left[name]

        return note

    layers = {
        name: module
        for name, module in network.named_modules()
        if trainable & {f"{name}.weight".lstrip("."), f"{name}.bias".lstrip(".")}
    }
    handles = [layer.register_forward_hook(noting(name)) for name, layer in layers.items()]
    try:
        logits = network(examples)
    finally:
        for handle in handles:
            handle.remove()
    gradients_left = torch.autograd.grad(output(logits), list(left.values()))
    deltas = dict(zip(left, gradients_left, strict=True))
    found: list[Rows | OuterRows] = []
    for name, layer in layers.items():
        delta = deltas[name]
        weight, bias = f"{name}.weight".lstrip("."), f"{name}.bias".lstrip(".")
        if weight in trainable:
            gradients = _WEIGHTS[type(layer)](layer, entered[name], delta)
            found.append(_live(gradients, masks[weight]) if weight in masks else gradients)
        if bias in trainable:
            # Units are last after a linear layer, else in dimension 1.
            by_unit = delta if type(layer) is nn.Linear else delta.movedim(1, -1)
            gradients = Rows(by_unit.reshape(len(delta), -1, by_unit.shape[-1]).sum(1))
            found.append(_live(gradients, masks[bias]) if bias in masks else gradients)
    return found


def _live(gradients: Rows | OuterRows, mask: Tensor) -> Rows:
    """Keeps the gradients in surviving weights; the others would add 0 to every product."""
    if isinstance(gradients, Rows):
        return Rows(gradients.values[:, mask.flatten()])
    outputs, inputs = mask.nonzero(as_tuple=True)
    return Rows(gradients.left[:, outputs] * gradients.right[:, inputs])
