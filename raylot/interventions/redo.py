"""ReDo: dormant units start anew."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raylot.config import InterventionOptions
from raylot.foundation.errors import OptionError
from raylot.interventions._redrawing import Redrawing
from raylot.networks.chain import in_order
from raylot.networks.prunable import prunable_weights
from raylot.plasticity import dormant_units, recorded_activations
from raylot.training import Training, evaluation_mode


class ReDo(Redrawing):
    """Recycles dormant units every ``redo_interval`` steps (Sokar et al. 2023).

    A hidden unit is dormant if its mean |activation| on the batch is at most ``redo_threshold``
    times its layer's mean. It gets freshly initialised incoming weights and bias (and gain, bias
    and statistics in a norm that follows), and outgoing weights of 0. The optimizer's moments of
    all these become 0, and its step count starts over. This count is one for the whole network, so
    for some tens of steps Adam moves all other weights less too.
    """

    name = "redo"

    def __init__(self, options: InterventionOptions) -> None:
        self._threshold, self._interval = options.redo_threshold, options.redo_interval

    def check(self, network: nn.Module) -> None:
        """Refuses a network that is no chain, or that cannot be initialised anew."""
        super().check(network)
        _hidden_layers(network)

    def after_step(self, training: Training) -> None:
        """Recycles dormant units, if it is time to.

        Raises:
            OptionError: ReDo cannot tell which weights a hidden unit of this network feeds.
        """
        if training.step % self._interval:
            return
        layers = _hidden_layers(training.network)
        found = dormant_by_layer(training.network, training.inputs, self._threshold)
        if any(layer.units != len(found.get(layer.name, ())) for layer in layers):
            raise OptionError(_NO_CHAIN)
        recycled = [(layer, found[layer.name]) for layer in layers if found[layer.name].any()]
        if not recycled:
            return
        state = training.network.state_dict()
        fresh = training.fresh_network(training.key.child("redo", training.step)).state_dict()
        moved = {name: torch.zeros_like(t, dtype=torch.bool) for name, t in state.items()}
        for layer, units in recycled:
            for name in layer.own:
                state[name].view(layer.units, -1)[units] = fresh[name].view(layer.units, -1)[units]
                moved[name].view(layer.units, -1)[units] = True
        # Only now, as a recycled unit may feed another recycled unit of the next layer.
        for layer, units in recycled:
            for tensor, value in ((state[layer.outgoing], 0), (moved[layer.outgoing], True)):
                # Flattened, a channel feeds the next layer from each of its positions.
                tensor.view(len(tensor), layer.units, -1)[:, units] = value
        training.reset_optimizer(training.flat.flatten(moved))


def dormant_by_layer(network: nn.Module, inputs: Tensor, threshold: float) -> dict[str, Tensor]:
    """Returns which units of each hidden layer are dormant on a batch (Sokar et al. 2023).

    Returns:
        By the layer's name: boolean, ``units``; a channel is a unit.
    """
    with torch.no_grad(), evaluation_mode(network), recorded_activations(network) as activations:
        network(inputs)
    # If several activation functions follow a layer, the last one decides what its units put out.
    return {
        name.partition("#")[0]: dormant_units(a.outputs, threshold)
        for name, a in activations.items()
    }


_NO_CHAIN = (
    "intervention=redo: must go with a network that is a chain of trainable linear and "
    "convolution layers in nn.Sequential, with an activation module after each but the last"
)


@dataclass(frozen=True)
class _HiddenLayer:
    """The tensors of one layer's units, by their names in the network's state dict.

    Attributes:
        name: the layer's name.
        units: how many units the layer has; a channel is a unit.
        own: tensors with one row or entry per unit: incoming weights, bias, norms.
        outgoing: the next layer's weight.
    """

    name: str
    units: int
    own: list[str]
    outgoing: str


def _hidden_layers(network: nn.Module) -> list[_HiddenLayer]:
    """Returns the layers of a chain, except the last; refuses other networks."""
    stages: list[list[nn.Module]] = []
    for module in in_order(network):
        if next(module.children(), None) is not None:
            raise OptionError(_NO_CHAIN)
        if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            stages.append([])
        if stages:
            stages[-1].append(module)
    weights = [stage[0].get_parameter("weight") for stage in stages]
    names = {id(tensor): name for name, tensor in network.state_dict(keep_vars=True).items()}
    if [names[id(w)] for w in weights] != list(prunable_weights(network)):
        raise OptionError(_NO_CHAIN)
    layers = []
    for stage, (weight, following) in zip(stages, itertools.pairwise(weights), strict=False):
        units = len(weight)
        if following.shape[1] % units:
            raise OptionError(_NO_CHAIN)
        tensors = [t for module in stage for t in (*module.parameters(), *module.buffers())]
        own = [names[id(t)] for t in tensors if t.dim() and len(t) % units == 0]
        name = names[id(weight)].removesuffix(".weight")
        layers.append(_HiddenLayer(name, units, own, names[id(following)]))
    return layers


make = ReDo
