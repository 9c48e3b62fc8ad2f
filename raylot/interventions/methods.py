"""Methods that are meant to keep plasticity, each acting at named places of the training loop.

The places are those of `raylot.training.hooks.Intervention`. A new method is one class here and
its line in `INTERVENTIONS`. What acts between tasks acts at the end of one, so that a snapshot is
the network with which the next task really begins.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from raylot.config import InterventionOptions
from raylot.foundation import registry
from raylot.foundation.errors import OptionError
from raylot.networks.initialisation import why_not_reinitialised
from raylot.networks.prunable import prunable_weights
from raylot.plasticity import dormant_units, recorded_activations
from raylot.training import Intervention, Training, evaluation_mode


class L2(Intervention):
    """Adds strength x (sum of squared parameters) to the loss.

    Without the factor 1/2: the gradient is 2 x strength x parameter, twice that of PyTorch's
    ``weight_decay`` of the same number.
    """

    def __init__(self, options: InterventionOptions) -> None:
        self._strength = options.l2_strength

    def loss_term(self, training: Training) -> Tensor:
        return self._strength * training.flat.vector.square().sum()


class L2Init(Intervention):
    """Adds strength x (squared distance of the parameters from their initial values).

    Regenerative regularisation (Kumar, Marklund & Van Roy 2023), in that paper's convention
    without the factor 1/2. Initial means at the start of the stream, not of the task.
    """

    def __init__(self, options: InterventionOptions) -> None:
        self._strength = options.l2_strength

    def loss_term(self, training: Training) -> Tensor:
        return self._strength * (training.flat.vector - training.initial_vector).square().sum()


class Redrawing(Intervention):
    """Base of methods that draw initial weights anew."""

    name: ClassVar[str]

    def on_task_start(self, training: Training) -> None:
        """Refuses a network that cannot be initialised anew before it is trained.

        Raises:
            OptionError: it cannot.
        """
        if reason := why_not_reinitialised(training.network):
            raise OptionError(
                f"intervention={self.name}: must go with a network that can be initialised anew; "
                f"here {reason}"
            )


class ShrinkAndPerturb(Redrawing):
    """Multiplies all parameters by ``shrink`` and adds ``perturb`` x a fresh initialisation.

    After each task (Ash & Adams 2020, who do it before training on new data), or after each
    step, with a shrink close to 1 (as in Dohare et al. 2024).
    """

    name = "shrink_and_perturb"

    def __init__(self, options: InterventionOptions) -> None:
        self._shrink, self._perturb = options.shrink, options.perturb
        self._each_step = options.perturb_every == "step"

    def after_step(self, training: Training) -> None:
        if self._each_step:
            self._move(training)

    def on_task_end(self, training: Training) -> None:
        if not self._each_step:
            self._move(training)

    def _move(self, training: Training) -> None:
        fresh = training.fresh_vector(training.key.child("perturb", training.step))
        training.flat.vector.detach().mul_(self._shrink).add_(fresh, alpha=self._perturb)


class ReDo(Redrawing):
    """Recycles dormant units every so many steps (Sokar et al. 2023).

    A hidden unit whose mean |activation| on the batch is at most ``redo_threshold`` times its
    layer's mean gets freshly initialised incoming weights and bias (and gain, bias and statistics
    in a norm that follows), and outgoing weights 0. The optimizer's moments of all these are set
    to 0, and its step count starts over whenever a unit is recycled. The count is one for the whole
    network here, so that Adam's steps of all other weights are shorter too for some tens of steps.
    """

    name = "redo"

    def __init__(self, options: InterventionOptions) -> None:
        self._threshold, self._interval = options.redo_threshold, options.redo_interval

    def on_task_start(self, training: Training) -> None:
        """Refuses a network that is no chain, or cannot be initialised anew."""
        super().on_task_start(training)
        _hidden_layers(training.network)

    def after_step(self, training: Training) -> None:
        """Acts every ``redo_interval`` steps of a training.

        Raises:
            OptionError: it cannot be known which weights a hidden unit of the network feeds.
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
        # Afterwards, as a recycled unit may feed another one of the next layer.
        for layer, units in recycled:
            for tensor, value in ((state[layer.outgoing], 0), (moved[layer.outgoing], True)):
                # A channel feeds all places that it has once it is flattened.
                tensor.view(len(tensor), layer.units, -1)[:, units] = value
        training.reset_optimizer(training.flat.flatten(moved))


class Reset(Redrawing):
    """A freshly initialised network for each task: the upper reference."""

    name = "reset"

    def on_task_end(self, training: Training) -> None:
        fresh = training.fresh_network(training.key.child("reset"))
        training.network.load_state_dict(fresh.state_dict())
        training.reset_optimizer()


def dormant_by_layer(network: nn.Module, inputs: Tensor, threshold: float) -> dict[str, Tensor]:
    """Which units of each hidden layer are dormant on a batch, by the name of their layer.

    Returns:
        Boolean, one entry per unit (a channel is a unit), as in Sokar et al. 2023.
    """
    with torch.no_grad(), evaluation_mode(network), recorded_activations(network) as activations:
        network(inputs)
    # Of several activation functions after one layer, the last decides what its units put out.
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
    """What belongs to the units of one layer, by names in the network's state dict.

    Attributes:
        name: of the layer.
        units: how many it has; a channel is a unit.
        own: tensors with one row or entry per unit: incoming weights, bias, norms.
        outgoing: the next layer's weight.
    """

    name: str
    units: int
    own: list[str]
    outgoing: str


def _hidden_layers(network: nn.Module) -> list[_HiddenLayer]:
    """The layers of a chain, but for the last.

    Raises:
        OptionError: the network is no chain of trainable layers.
    """
    stages: list[list[nn.Module]] = []
    for module in _in_order(network):
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


def _in_order(network: nn.Module) -> Iterator[nn.Module]:
    """The modules of nested `nn.Sequential`, in the order in which they act."""
    if isinstance(network, nn.Sequential) and type(network).forward is nn.Sequential.forward:
        for module in network:
            yield from _in_order(module)
    else:
        yield network


Build = Callable[[InterventionOptions], Intervention]

INTERVENTIONS: dict[str, Build] = {
    "l2": L2,
    "l2_init": L2Init,
    "shrink_and_perturb": ShrinkAndPerturb,
    "redo": ReDo,
    "reset": Reset,
}


def make(options: InterventionOptions) -> Intervention | None:
    """The intervention that options name; None for ``"none"``.

    Raises:
        TypeError: it is a plugin's and returned no intervention.
    """
    if options.intervention == "none":
        return None
    name = options.intervention
    build: Build = INTERVENTIONS.get(name) or registry.get("intervention", name)
    intervention = build(options)
    registry.check_returned("intervention", name, intervention, Intervention)
    return intervention
