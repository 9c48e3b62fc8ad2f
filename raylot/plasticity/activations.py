"""What hidden units do on the probe: silent ones, signs, and the ranks of their activations."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules import activation
from torch.overrides import TorchFunctionMode

from raylot.plasticity.metric import Metric, mean, weighted_mean
from raylot.plasticity.spectrum import effective_rank, singular_values, srank, stable_rank

_ACTIVATIONS = tuple(
    kind
    for kind in vars(activation).values()
    if isinstance(kind, type)
    and issubclass(kind, nn.Module)
    and kind not in (nn.Module, nn.MultiheadAttention)
    and kind.__module__ == activation.__name__
)

#: Activation functions that a ``forward`` calls by itself. Sigmoid and softmax are left out: called
#: like this they mostly gate or weigh what a hidden layer gives.
_FUNCTIONS = frozenset(
    getattr(home, name)
    for name in (
        "relu", "relu_", "relu6", "leaky_relu", "leaky_relu_", "prelu", "rrelu", "rrelu_", "elu",
        "elu_", "selu", "selu_", "celu", "celu_", "gelu", "silu", "mish", "softplus", "hardtanh",
        "hardtanh_", "hardswish", "tanh", "tanh_",
    )
    for home in (F, torch, Tensor)
    if hasattr(home, name)
)  # fmt: skip

_CONVOLUTIONS = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d,
    nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip


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
    """Collects what activation functions do in one forward pass.

    Modules of PyTorch (``nn.ReLU``) are seen, and functions that a ``forward`` calls (``F.relu``,
    ``x.relu()``), whatever lies between them. Arithmetic that amounts to an activation
    (``x.clamp(min=0)``) is not.

    Yields:
        What was seen, by layer, in the order of the pass. A hidden layer has the name of the last
        module before its activation that has parameters and is no normalisation, or if there is
        none the name of its activation's module. Where a name comes up again, as in a layer that
        is used twice, ``#2`` is added, then ``#3``. Units are a convolution's channels, else the
        last dimension.
    """
    recorder = _Recorder(network)
    handles = recorder.hooks()
    try:
        with recorder:
            yield recorder.layers
    finally:
        for handle in handles:
            handle.remove()


class _Recorder(TorchFunctionMode):
    """Hears modules by their hooks, and functions as PyTorch's mode while the network runs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.layers: dict[str, LayerActivations] = {}
        self._network = network
        self._name = ""  # of the latest layer
        self._has_channels = True  # whether that layer gives channels in the second dimension
        self._depth = 0  # of activation modules that run just now

    def hooks(self) -> list[torch.utils.hooks.RemovableHandle]:
        handles: list[torch.utils.hooks.RemovableHandle] = []
        for name, module in self._network.named_modules():
            if isinstance(module, _ACTIVATIONS):
                handles += self._hooks_of_activation(name, module)
            elif _is_layer(module):
                handles.append(module.register_forward_hook(self._layer_hook(name)))
        return handles

    def _layer_hook(self, name: str) -> Callable[..., None]:
        def note(module: nn.Module, args: Any, output: Any) -> None:
            self._name, self._has_channels = name, isinstance(module, _CONVOLUTIONS)

        return note

    def _hooks_of_activation(
        self, name: str, module: nn.Module
    ) -> Sequence[torch.utils.hooks.RemovableHandle]:
        active: Tensor

        def before(module: nn.Module, args: Any) -> None:
            # Before the module runs, as it may overwrite its input.
            nonlocal active
            active = self._active(args[0])
            self._depth += 1

        def after(module: nn.Module, args: Any, output: Tensor) -> None:
            self._depth -= 1
            self._note(output, active, self._name or name)

        return module.register_forward_pre_hook(before), module.register_forward_hook(after)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func not in _FUNCTIONS or self._depth:
            return func(*args, **(kwargs or {}))
        active = self._active(args[0])
        output = func(*args, **(kwargs or {}))
        self._note(output, active, self._name or func.__name__)
        return output

    def _active(self, inputs: Tensor) -> Tensor:
        return (self._by_unit(inputs) > 0).double().mean(dim=0)

    def _note(self, output: Tensor, active: Tensor, name: str) -> None:
        times = 1 + sum(each.partition("#")[0] == name for each in self.layers)
        label = name if times == 1 else f"{name}#{times}"
        self.layers[label] = LayerActivations(self._by_unit(output), active)

    def _by_unit(self, tensor: Tensor) -> Tensor:
        units = 1 if self._has_channels and tensor.ndim > 1 else -1
        units_last = tensor.detach().movedim(units, -1)
        return units_last.reshape(-1, units_last.shape[-1])


def _is_layer(module: nn.Module) -> bool:
    """Whether a module has parameters of its own and does more than normalise."""
    own = any(True for _ in module.parameters(recurse=False))
    parametrised = hasattr(module, "parametrizations")
    return (own or parametrised) and "Norm" not in type(module).__name__
