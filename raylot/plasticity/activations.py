"""What hidden units do on the probe: silent ones, signs, and the ranks of their activations."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import activation

from raylot.plasticity.metric import Metric, mean, weighted_mean
from raylot.plasticity.spectrum import effective_rank, singular_values, srank, stable_rank
from raylot.pruning import prunable_weights

_ACTIVATIONS = tuple(
    kind
    for kind in vars(activation).values()
    if isinstance(kind, type)
    and issubclass(kind, nn.Module)
    and kind not in (nn.Module, nn.MultiheadAttention)
    and kind.__module__ == activation.__name__
)


@dataclass(frozen=True)
class LayerActivations:
    """One hidden layer on the probe. A channel is a unit; its positions count as examples.

    Attributes:
        outputs: what the activation function gave, ``examples x units``.
        active: fraction of examples on which each unit's pre-activation is positive, ``units``.
    """

    outputs: Tensor
    active: Tensor

    @cached_property
    def singular_values(self) -> Tensor:
        """Of the outputs; costly, and needed by every rank."""
        return singular_values(self.outputs)


def dead_fraction(activations: Tensor) -> float:
    """Fraction of units that are zero on the whole probe, in [0, 1].

    Args:
        activations: ``examples x units``.
    """
    return float((activations == 0).all(dim=0).double().mean())


def dormant_units(activations: Tensor, threshold: float) -> Tensor:
    """Which units are tau-dormant (Sokar et al. 2023): boolean, ``units``.

    A unit is dormant if its mean |activation| is at most threshold times its layer's mean of
    that; in a layer that is silent altogether all are.

    Args:
        activations: ``examples x units``.
        threshold: tau, in [0, 1].
    """
    score = activations.double().abs().mean(dim=0)
    return score <= threshold * score.mean()


def dormant_fraction(activations: Tensor, threshold: float) -> float:
    """Fraction of `dormant_units`, in [0, 1]."""
    return float(dormant_units(activations, threshold).double().mean())


def unit_sign_entropy(active: Tensor) -> float:
    """Mean over units of the entropy of their sign, in bits, in [0, 1].

    A unit with a positive pre-activation on a share p of the probe has the binary entropy
    H(p) = -p log2 p - (1 - p) log2(1 - p): 1 if it is active on half of the probe, 0 if its sign
    never changes, so that it is linear there or dead. Named by Lewandowski, Schuurmans & Machado
    (2024), "Plastic Learning with Deep Fourier Features".

    Args:
        active: p of each unit, ``units``.
    """
    p = active.double()
    return float(
        -(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p)).mean() / torch.log(p.new_tensor(2))
    )


#: Of a hidden layer's activations: fractions and entropy are means over all units, ranks are
#: averaged over layers.
ACTIVATION_METRICS: dict[str, Metric[LayerActivations]] = {
    "dead_fraction": Metric(lambda a, options: dead_fraction(a.outputs), weighted_mean),
    "dormant_fraction": Metric(
        lambda a, options: dormant_fraction(a.outputs, options.dormant_threshold), weighted_mean
    ),
    "unit_sign_entropy": Metric(lambda a, options: unit_sign_entropy(a.active), weighted_mean),
    "effective_rank": Metric(lambda a, options: effective_rank(a.singular_values), mean),
    "stable_rank": Metric(lambda a, options: stable_rank(a.singular_values), mean),
    "srank": Metric(lambda a, options: srank(a.singular_values), mean),
}


@contextlib.contextmanager
def recorded_activations(network: nn.Module) -> Iterator[dict[str, LayerActivations]]:
    """Collects what activation modules do in a forward pass, by the layer they follow."""
    weights = prunable_weights(network)
    names = {
        id(module): name for name, module in network.named_modules() if f"{name}.weight" in weights
    }
    recorded: dict[str, LayerActivations] = {}
    latest = ""
    active = torch.empty(0)

    def note_layer(module: nn.Module, args: Any, output: Tensor) -> None:
        nonlocal latest
        latest = names[id(module)]

    def note_signs(module: nn.Module, args: Any) -> None:
        # Before the module runs, as it may overwrite its input.
        nonlocal active
        active = (_by_unit(args[0]) > 0).double().mean(dim=0)

    def note_outputs(module: nn.Module, args: Any, output: Tensor) -> None:
        recorded[latest] = LayerActivations(_by_unit(output), active)

    handles = []
    for module in network.modules():
        if id(module) in names:
            handles.append(module.register_forward_hook(note_layer))
        elif isinstance(module, _ACTIVATIONS):
            handles.append(module.register_forward_pre_hook(note_signs))
            handles.append(module.register_forward_hook(note_outputs))
    try:
        yield recorded
    finally:
        for handle in handles:
            handle.remove()


def _by_unit(tensor: Tensor) -> Tensor:
    channels_last = tensor.detach().movedim(1, -1)
    return channels_last.reshape(-1, channels_last.shape[-1])
