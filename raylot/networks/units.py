"""Finds the hidden units of a network, the weights that feed each, and those that each feeds.

A unit is found where layers follow one another: in `torch.nn.Sequential`, and in modules with a
method ``chain`` (see `raylot.networks.chain`). The channels of a residual stream, which several
layers write and read, are no such units; those inside its blocks are (as in ReDo's code, which
recycles the first convolution of each block; Sokar et al. 2023).
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from raylot.networks.activations import copies_of
from raylot.networks.chain import OUTPUTS_FIRST, in_order
from raylot.networks.prunable import all_weights, owns_weight


@dataclass(frozen=True)
class HiddenLayer:
    """The units of one layer; tensors are named as in the network's state dict.

    Attributes:
        name: the layer's name.
        units: how many units it has; a channel is a unit.
        weight: incoming weights, ``units x ...``.
        own: all tensors with entries of single units: ``weight``, bias, norms that follow.
        bias: the layer's bias, if it has one.
        following: name of the next layer.
        outgoing: the next layer's weight.
        outgoing_bias: the next layer's bias, if it has one.
        copies: outputs per unit: 2 if the activation joins two functions of each, as CReLU does.
        units_last: whether the next layer takes units last (a linear layer), or first after the
            examples (a convolution).
    """

    name: str
    units: int
    weight: str
    own: tuple[str, ...]
    bias: str | None
    following: str
    outgoing: str
    outgoing_bias: str | None
    copies: int
    units_last: bool

    def incoming(self, tensor: Tensor) -> Tensor:
        """Views one of ``own`` as ``units x entries``."""
        return tensor.view(self.units, -1)

    def outgoing_by_unit(self, weight: Tensor) -> Tensor:
        """Views ``outgoing`` as ``next units x copies x units x places``.

        Flattened, a channel feeds the next layer from each of its positions.
        """
        return weight.view(len(weight), self.copies, self.units, -1)

    def outputs(self, inputs: Tensor) -> Tensor:
        """Turns the next layer's inputs into ``rows x units``.

        Each example, copy of a unit, and place (in an image, in a sequence) is a row.
        """
        return self._by_unit(inputs).movedim(3, -1).reshape(-1, self.units)

    def outputs_by_place(self, inputs: Tensor) -> Tensor:
        """Turns the next layer's inputs into ``rows x copies x units x places``.

        Places are those that flattening has set apart, as in `outgoing_by_unit`; any others are
        rows.
        """
        return self._by_unit(inputs).flatten(0, 1)

    def _by_unit(self, inputs: Tensor) -> Tensor:
        by_unit = inputs if self.units_last else inputs.movedim(1, -1).unsqueeze(-1)
        return by_unit.reshape(len(inputs), -1, self.copies, self.units, self._places(inputs))

    def _places(self, inputs: Tensor) -> int:
        return inputs.shape[-1] // (self.copies * self.units) if self.units_last else 1


def hidden_layers(network: nn.Module) -> list[HiddenLayer]:
    """Returns the layers whose units feed one next layer each, in the order of the network.

    Both layers are linear or convolution layers with trainable weights of their own, used in one
    place. The list is empty if there are none.
    """
    names = {id(t): name for name, t in network.state_dict(keep_vars=True).items()}
    modules = {id(module): name for name, module in network.named_modules()}
    uses = Counter(id(p) for _, p in network.named_parameters(remove_duplicate=False))
    layers: dict[str, HiddenLayer] = {}
    for run in _runs(network):
        for stage, following in _stages(run):
            weights = [layer.get_parameter("weight") for layer in (stage[0], following)]
            if any(id(w) not in names or uses[id(w)] > 1 or not w.requires_grad for w in weights):
                continue
            units, copies = len(weights[0]), _copies(stage)
            if weights[1].shape[1] % (units * copies):
                continue
            tensors = [t for m in stage for t in (*m.parameters(), *m.buffers())]
            own = tuple(names[id(t)] for t in tensors if t.dim() and len(t) % units == 0)
            layer = HiddenLayer(
                name=modules[id(stage[0])], units=units, weight=names[id(weights[0])], own=own,
                bias=_bias(stage[0], names), following=modules[id(following)],
                outgoing=names[id(weights[1])], outgoing_bias=_bias(following, names),
                copies=copies, units_last=isinstance(following, nn.Linear),
            )  # fmt: skip
            layers[layer.name] = layer
    return [layers[name] for name in modules.values() if name in layers]


@contextlib.contextmanager
def recorded_outputs(
    network: nn.Module, layers: Sequence[HiddenLayer]
) -> Iterator[dict[str, Tensor]]:
    """Collects what the units of layers gave to the next layer in the latest forward pass.

    Yields:
        By the layer's name: the next layer's inputs, which `HiddenLayer.outputs` sorts by unit.
    """
    recorded: dict[str, Tensor] = {}

    def keeping(name: str) -> Callable[[nn.Module, Any], None]:
        def keep(module: nn.Module, inputs: Any) -> None:
            recorded[name] = inputs[0].detach()

        return keep

    handles = [
        network.get_submodule(layer.following).register_forward_pre_hook(keeping(layer.name))
        for layer in layers
    ]
    try:
        yield recorded
    finally:
        for handle in handles:
            handle.remove()


def _runs(module: nn.Module) -> Iterator[list[nn.Module]]:
    """Yields all lists of modules that follow one another, each as long as can be."""
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        run = list(in_order(module))
        yield run
        inner = [part for part in run if next(part.children(), None) is not None]
    else:
        chain = getattr(module, "chain", None)
        if callable(chain):
            yield [part for link in chain() for part in in_order(link)]
        inner = list(module.children())
    for part in inner:
        yield from _runs(part)


def _stages(run: Sequence[nn.Module]) -> Iterator[tuple[list[nn.Module], nn.Module]]:
    """Yields each layer with what follows it, and the layer that comes next."""
    stage: list[nn.Module] = []
    for module in run:
        is_layer = isinstance(module, OUTPUTS_FIRST) and _joins_all(module)
        if is_layer and stage:
            yield stage, module
        if is_layer:
            stage = [module]
        elif next(module.children(), None) is not None or all_weights(module):
            stage = []  # units may go other ways too
        elif _copies(stage) > 1 and next(iter(module.state_dict()), None) is not None:
            stage = []  # its tensors, as a norm's, have entries of several numbers of a unit
        elif stage:
            stage.append(module)


def _joins_all(layer: nn.Module) -> bool:
    """Whether a layer's weight is a parameter that joins all its inputs with all its outputs."""
    return owns_weight(layer) and getattr(layer, "groups", 1) == 1


def _copies(stage: Sequence[nn.Module]) -> int:
    copies = 1
    for module in stage:
        copies *= copies_of(module)
    return copies


def _bias(layer: nn.Module, names: dict[int, str]) -> str | None:
    bias = getattr(layer, "bias", None)
    return None if bias is None else names.get(id(bias))
