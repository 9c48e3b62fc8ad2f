"""Methods that are meant to keep plasticity, each acting at named places of the training loop.

The places are those of `raylot.training.hooks.Intervention`. A new method is one class here and
its line in `INTERVENTIONS`. What acts between tasks acts at the end of one, so that a snapshot is
the network with which the next task really begins.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from raylot.config import InterventionOptions
from raylot.plasticity import recorded_activations
from raylot.pruning import prunable_weights
from raylot.training import Intervention, Training


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


class ShrinkAndPerturb(Intervention):
    """Multiplies all parameters by ``shrink`` and adds ``perturb`` x a fresh initialisation.

    After each task (Ash & Adams 2020, who do it before training on new data), or after each
    step, with a shrink close to 1 (as in Dohare et al. 2024).
    """

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


class ReDo(Intervention):
    """Recycles dormant units every so many steps (Sokar et al. 2023).

    A hidden unit whose mean |activation| on the batch is at most ``redo_threshold`` times its
    layer's mean gets freshly initialised incoming weights and bias, and outgoing weights 0. The
    optimizer's moments of all these are set to 0, and its step count, which is one for the whole
    network here, starts over whenever a unit is recycled.
    """

    def __init__(self, options: InterventionOptions) -> None:
        self._threshold, self._interval = options.redo_threshold, options.redo_interval

    def after_step(self, training: Training) -> None:
        if training.step % self._interval:
            return
        dormant = dormant_units(training.network, training.inputs, self._threshold)
        if not any(bool(units.any()) for units in dormant.values()):
            return
        fresh = training.fresh_network(training.key.child("redo", training.step))
        parameters = {n: p.detach() for n, p in training.network.named_parameters()}
        moved = {n: torch.zeros_like(p, dtype=torch.bool) for n, p in parameters.items()}
        drawn = dict(fresh.named_parameters())
        for layer, following in _neighbours(training.network):
            units = dormant[layer]
            for name in (f"{layer}.weight", f"{layer}.bias"):
                if name in parameters:
                    parameters[name][units] = drawn[name].detach()[units]
                    moved[name][units] = True
            outgoing = _by_unit(parameters[f"{following}.weight"], len(units))
            outgoing[:, units] = 0
            _by_unit(moved[f"{following}.weight"], len(units))[:, units] = True
        training.reset_optimizer(training.flat.flatten(moved))


class Reset(Intervention):
    """A freshly initialised network for each task: the upper reference."""

    def on_task_end(self, training: Training) -> None:
        fresh = training.fresh_network(training.key.child("reset"))
        training.network.load_state_dict(fresh.state_dict())
        training.reset_optimizer()


def dormant_units(network: nn.Module, inputs: Tensor, threshold: float) -> dict[str, Tensor]:
    """Which units of each hidden layer are dormant on a batch, by the name of their layer.

    Returns:
        Boolean, one entry per unit (a channel is a unit), as in Sokar et al. 2023.
    """
    was_training = network.training
    network.eval()
    with torch.no_grad(), recorded_activations(network) as activations:
        network(inputs)
    network.train(was_training)
    scores = {layer: units.outputs.abs().mean(dim=0) for layer, units in activations.items()}
    return {layer: score <= threshold * score.mean() for layer, score in scores.items()}


def _neighbours(network: nn.Module) -> Iterator[tuple[str, str]]:
    """Each hidden layer and the one that its units feed, in a network that is a plain chain."""
    names = [name.removesuffix(".weight") for name in prunable_weights(network)]
    yield from itertools.pairwise(names)


def _by_unit(weight: Tensor, units: int) -> Tensor:
    """Outgoing weights as ``outputs x units x ...``: a channel feeds all its flattened places."""
    return weight.view(len(weight), units, -1)


INTERVENTIONS: dict[str, Callable[[InterventionOptions], Intervention]] = {
    "l2": L2,
    "l2_init": L2Init,
    "shrink_and_perturb": ShrinkAndPerturb,
    "redo": ReDo,
    "reset": lambda options: Reset(),
}


def make(options: InterventionOptions) -> Intervention | None:
    """The intervention that options name; None for ``"none"``."""
    build = INTERVENTIONS.get(options.intervention)
    return None if build is None else build(options)
