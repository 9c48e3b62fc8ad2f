"""Metrics of hidden units on the probe: dead and dormant ones, signs, ranks of activations."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence
from torch.overrides import TorchFunctionMode

from raylot.config.plasticity_options import ProbeOptions
from raylot.networks.activations import copies_of
from raylot.networks.prunable import LAYERS
from raylot.plasticity.metric import Metric, Note, Row, are_finite, mean, rows, weighted_mean
from raylot.plasticity.spectrum import effective_rank, singular_values, srank, stable_rank

#: PyTorch's activation functions that act on each unit by itself, unlike softmax.
_NAMES = (
    "celu", "elu", "gelu", "glu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh",
    "leaky_relu", "logsigmoid", "mish", "prelu", "relu", "relu6", "rrelu", "selu", "sigmoid",
    "silu", "softplus", "softshrink", "softsign", "tanh", "tanhshrink", "threshold",
)  # fmt: skip

#: All ways to call them: ``nn.ReLU()``, ``F.relu``, ``torch.relu``, ``x.relu()``, ``x.relu_()``.
_FUNCTIONS = frozenset(
    getattr(place, name + in_place)
    for place in (F, torch, Tensor)
    for name in _NAMES
    for in_place in ("", "_")
    if hasattr(place, name + in_place)
)

_RECURRENT = (nn.RNNBase, nn.RNNCellBase)

#: The name of activations before any layer.
_NO_LAYER = "network"


@dataclass
class PreActivations:
    """What a hidden layer's activation function was given: z.

    A recurrent module's pre-activations cannot be seen: z is its hidden states.

    Attributes:
        magnitude: mean |z| of each unit, ``units``.
        gradient: the gradient in z, ``examples x units``, once a backward pass has reached it; 0
            where none does.
    """

    magnitude: Tensor
    gradient: Tensor


@dataclass(frozen=True)
class LayerActivations:
    """One hidden layer on the probe.

    A channel is a unit. Positions in an image and places in a sequence count as examples.

    Attributes:
        outputs: what the activation function returned, ``examples x units``; with an activation
            that puts out several numbers per unit (CReLU, Fourier) ``examples x copies * units``,
            where entry ``i + k * units`` is the k-th number of unit i.
        active: fraction of examples on which each unit's pre-activation is positive, ``units``; a
            gated unit (as of ``F.glu``) has two.
        copies: how many numbers the activation puts out per unit.
        before: its pre-activations, if they were asked for.
    """

    outputs: Tensor
    active: Tensor
    copies: int = 1
    before: PreActivations | None = None

    @property
    def units(self) -> int:
        """The number of units."""
        return self.outputs.shape[1] // self.copies

    @property
    def by_unit(self) -> Tensor:
        """Outputs with all numbers of a unit in one column, ``copies * examples x units``.

        So a unit is dead only if all its numbers are always 0, and its mean |activation| is over
        all of them.
        """
        return self.outputs.reshape(-1, self.units)

    @cached_property
    def singular_values(self) -> Tensor:
        """Singular values of the outputs; computed once, as every rank needs them."""
        return singular_values(self.outputs)


def dead_fraction(activations: Tensor) -> float:
    """Returns the fraction of units that are zero on the whole probe, in [0, 1].

    Args:
        activations: ``examples x units``.
    """
    return float((activations == 0).all(dim=0).double().mean())


def dormant_units(activations: Tensor, threshold: float) -> Tensor:
    """Returns which units are tau-dormant (Sokar et al. 2023): boolean, ``units``.

    A unit is dormant if its mean |activation| is at most threshold times the mean over its layer.
    In a layer whose outputs are all 0, every unit is dormant.

    Args:
        activations: ``examples x units``.
        threshold: tau, in [0, 1].
    """
    score = activations.double().abs().mean(dim=0)
    return score <= threshold * score.mean()


def dormant_fraction(activations: Tensor, threshold: float) -> float:
    """Returns the fraction of `dormant_units`, in [0, 1]."""
    return float(dormant_units(activations, threshold).double().mean())


def unit_sign_entropy(active: Tensor) -> float:
    """Returns the mean over units of the entropy of their sign, in bits, in [0, 1].

    A unit with a positive pre-activation on a share p of the probe has the binary entropy
    H(p) = -p log2 p - (1 - p) log2(1 - p). That is 1 if the unit is active on half of the probe,
    and 0 if its sign never changes: then it is linear there, or dead. Named by Lewandowski,
    Schuurmans & Machado (2024), "Plastic Learning with Deep Fourier Features".

    Args:
        active: p of each unit, ``units``.
    """
    p = active.double()
    return float(
        -(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p)).mean() / torch.log(p.new_tensor(2))
    )


#: Metrics of a hidden layer's activations. For the whole network, fractions and entropy are means
#: over all units, and ranks are means over layers. A unit with several numbers counts once; ranks
#: are of all numbers, as the next layer sees them.
ACTIVATION_METRICS: dict[str, Metric[LayerActivations]] = {
    "dead_fraction": Metric(lambda a, options: dead_fraction(a.by_unit), weighted_mean),
    "dormant_fraction": Metric(
        lambda a, options: dormant_fraction(a.by_unit, options.dormant_threshold), weighted_mean
    ),
    "unit_sign_entropy": Metric(lambda a, options: unit_sign_entropy(a.active), weighted_mean),
    "effective_rank": Metric(lambda a, options: effective_rank(a.singular_values), mean),
    "stable_rank": Metric(lambda a, options: stable_rank(a.singular_values), mean),
    "srank": Metric(lambda a, options: srank(a.singular_values), mean),
}


def activation_rows(
    metrics: Mapping[str, Metric[LayerActivations]],
    layers: Mapping[str, LayerActivations],
    options: ProbeOptions,
    note: Note,
) -> list[Row]:
    """Returns rows of hidden layers; notes if there are none, or if not all numbers are finite."""
    if not metrics:
        return []
    if not layers:
        note(
            "metrics of activations: left out, as no activation function of PyTorch's and no "
            "recurrent module computed anything"
        )
    outputs = [layer.outputs for layer in layers.values()]
    finite = are_finite("activations", outputs, note)
    units = [layer.units for layer in layers.values()]
    return list(rows(metrics, layers, units, finite, options, note))


@contextlib.contextmanager
def recorded_activations(
    network: nn.Module, pre_activations: bool = False
) -> Iterator[dict[str, LayerActivations]]:
    """Collects the activations of all hidden layers in a forward pass, in order.

    A hidden layer is the output of one call of an activation function (a module such as
    ``nn.ReLU``, or a function such as ``F.relu`` in a ``forward``), or the hidden states of one
    call of a recurrent module. Functions that are not PyTorch's own, and scripted or compiled code,
    are not seen, except a module with an attribute ``copies``, see `raylot.networks.activations`.

    A hidden layer is named after the linear, convolution or recurrent layer that computed last,
    frozen or parametrised layers included: ``hidden1``. Further ones after the same layer, or after
    another call of it, are ``hidden1#2``, ``hidden1#3`` and so on. Before any layer the name is
    ``network``.

    Args:
        network: left unchanged.
        pre_activations: whether to record these too. A backward pass, also after this context, then
            fills in the gradients in them.
    """
    recorder = _Recorder(pre_activations)
    handles = [
        module.register_forward_hook(recorder.noting(name or _NO_LAYER))
        for name, module in network.named_modules()
        if isinstance(module, (*LAYERS, *_RECURRENT))
    ]
    for module in network.modules():
        if copies_of(module) > 1:
            handles.append(module.register_forward_pre_hook(recorder.entering))
            handles.append(module.register_forward_hook(recorder.leaving))
    try:
        with recorder:
            yield recorder.recorded
    finally:
        for handle in handles:
            handle.remove()


class _Recorder(TorchFunctionMode):
    """Records all calls of activation functions while it is active."""

    def __init__(self, pre_activations: bool) -> None:
        super().__init__()
        self.recorded: dict[str, LayerActivations] = {}
        self._pre_activations = pre_activations
        self._layer = _NO_LAYER
        self._width: int | None = None  # of the layer, if it puts its units last
        self._after = Counter[str]()
        # What the module with copies that computes now was given.
        self._given: tuple[Tensor, PreActivations | None] | None = None

    def noting(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        """Returns a forward hook for the layer of a name."""

        def note(module: nn.Module, args: Any, output: Any) -> None:
            self._layer = name
            self._width = module.out_features if isinstance(module, nn.Linear) else None
            if isinstance(module, _RECURRENT):
                states = output[0] if isinstance(output, tuple) else output
                states = states.data if isinstance(states, PackedSequence) else states
                self._width = states.shape[-1]
                self._record(states, self._look_at(states))

        return note

    def entering(self, module: nn.Module, args: Any) -> None:
        """Is the hook before a module that puts out several numbers per unit."""
        self._given = self._look_at(args[0])

    def leaving(self, module: nn.Module, args: Any, output: Any) -> None:
        """Is the hook after it: all its numbers are one record."""
        assert self._given is not None
        self._record(output, self._given, copies_of(module))
        self._given = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func not in _FUNCTIONS or self._given is not None:
            return func(*args, **kwargs)
        tensor = args[0] if args else kwargs.get("input")
        # A function of a parameter, or of one dimension, is a gate or a reparametrisation.
        if not isinstance(tensor, Tensor) or isinstance(tensor, nn.Parameter) or tensor.ndim < 2:
            return func(*args, **kwargs)
        given = self._look_at(tensor)  # the function may overwrite its input
        output = func(*args, **kwargs)
        self._record(output, given)
        return output

    def _record(
        self, output: Tensor, given: tuple[Tensor, PreActivations | None], copies: int = 1
    ) -> None:
        self._after[self._layer] += 1
        count = self._after[self._layer]
        name = self._layer if count == 1 else f"{self._layer}#{count}"
        # Copied, as the network may write into this tensor later.
        outputs = _by_unit(output, self._dimension(output, copies)).clone()
        active, before = given
        self.recorded[name] = LayerActivations(outputs, active, copies, before)

    def _look_at(self, tensor: Tensor) -> tuple[Tensor, PreActivations | None]:
        """Returns on which share of examples each pre-activation is positive, and them."""
        dimension = self._dimension(tensor)
        values = _by_unit(tensor, dimension)
        active = (values > 0).double().mean(dim=0)
        if not self._pre_activations:
            return active, None
        before = PreActivations(values.double().abs().mean(dim=0), torch.zeros_like(values))

        def reached(gradient: Tensor) -> None:
            before.gradient = _by_unit(gradient, dimension)

        if tensor.requires_grad:
            # Of the values now, even if the function overwrites them.
            tensor.register_hook(reached)
        return active, before

    def _dimension(self, tensor: Tensor, copies: int = 1) -> int:
        """Returns the dimension of units: the last after a linear layer, else 1."""
        last = tensor.shape[-1] // copies
        # Gated units give half as many outputs.
        is_last = self._width is not None and last in (self._width, self._width // 2)
        return -1 if is_last else 1


def _by_unit(tensor: Tensor, dimension: int) -> Tensor:
    """Returns ``examples x units``."""
    by_unit = tensor.detach().movedim(dimension, -1)
    return by_unit.reshape(-1, by_unit.shape[-1])
