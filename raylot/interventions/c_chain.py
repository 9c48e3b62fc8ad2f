"""C-CHAIN: a step changes the outputs for other examples little."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from raylot.config import InterventionOptions
from raylot.training import Intervention, Training, evaluation_mode

#: The strength at the start of a training, and for how many steps it is held.
_FIRST_STRENGTH, _HELD = 100.0, 50

#: Steps over whose losses and penalties the strength is then taken.
_WINDOW = 100


class CChain(Intervention):
    """Adds strength x mean((outputs - outputs before the latest step)^2) to the loss.

    Continual Churn Approximated Reduction (Tang et al. 2025). The outputs are the logits of a
    reference batch, drawn anew in each step from the task's training split, as many examples as
    the batch has; batch normalisation and dropout are as in evaluation. The next step is thus held
    near the network of two steps before.

    The strength is 100 in the first 50 steps, and then ``churn_share`` x (mean loss) / (mean
    penalty + 1e-8), over the last 100 steps. (The authors' code is for reinforcement learning, and
    counts rollouts there.) As in it, everything starts over with each task, and the first two
    steps have no penalty.
    """

    def __init__(self, options: InterventionOptions) -> None:
        self._share = options.churn_share
        self._current = torch.empty(0)
        self._losses = self._penalties = torch.empty(0)

    def loss_term(self, training: Training) -> Tensor | None:
        step = training.step
        if step == 0:
            self._losses = training.loss.new_zeros(_WINDOW)
            self._penalties = training.loss.new_zeros(_WINDOW)
        before, self._current = self._current, training.flat.vector.detach().clone()
        strength = self._strength(step)
        self._losses[step % _WINDOW] = training.loss
        self._penalties[step % _WINDOW] = 0
        if step < 2:
            return None
        penalty = _churn(training, before)
        self._penalties[step % _WINDOW] = penalty.detach()
        return strength * penalty

    def _strength(self, step: int) -> Tensor | float:
        if step < _HELD:
            return _FIRST_STRENGTH
        known = min(step, _WINDOW)
        return self._share * self._losses[:known].mean() / (self._penalties[:known].mean() + 1e-8)


def _churn(training: Training, before: Tensor) -> Tensor:
    """Returns the mean squared change of the outputs for a reference batch."""
    task, network = training.task, training.network
    generator = training.key.child("reference", training.step).generator()
    chosen = generator.integers(len(task.train_labels), size=len(training.inputs))
    inputs = task.scale(task.train_inputs[torch.from_numpy(chosen).to(task.train_labels.device)])
    with evaluation_mode(network):
        outputs = network(inputs)
        with torch.no_grad():
            former = functional_call(network, training.flat.unflatten(before), (inputs,))
    return F.mse_loss(outputs, former)


make = CChain
