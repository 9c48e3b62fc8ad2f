"""Utility-based perturbed gradient descent: useful weights are protected, others perturbed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from raylot.config import InterventionOptions
from raylot.interventions._noise import normal_noise
from raylot.training import Intervention, Training


class UPGD(Intervention):
    """Weighs each parameter's step, and noise, by how little the parameter is of use.

    With the gradient g, the optimizer's step d without weight decay, ``utility_decay`` b and noise
    x of standard deviation ``gradient_noise``, in step t of the stream (Elsayed & Mahmood 2024):

        utility u <- b u - (1 - b) g parameter,  u' = u / (1 - b^t),  s = sigmoid(u' / max u')
        parameter <- decayed parameter + (d - lr x) (1 - s),  or, if not ``protect``,
        parameter <- decayed parameter + d - lr x (1 - s)

    With plain SGD, d = -lr g and decayed means (1 - lr ``weight_decay``) parameter: UPGD. With adam
    or adamw it is AdaUPGD. Where decay goes through moments (adam, momentum), it is part of d.

    The maximum is that of all live parameters; if no utility is positive, the sigmoid is at most
    1/2. The authors' code divides u' by the maximum of u, which is the same after some 1 / (1 - b)
    steps (mohmdelsayed/upgd, core/optim/weight_upgd/first_order.py).
    """

    def __init__(self, options: InterventionOptions) -> None:
        self._noise, self._decay = options.gradient_noise, options.utility_decay
        self._protects = options.protect
        self._utility: Tensor | None = None
        self._steps = 0
        #: The parameters before the optimizer's step, and 1 - s.
        self._before: tuple[Tensor, Tensor] | None = None

    def state_dict(self) -> dict[str, Tensor | int | float]:
        """Returns all utilities, and the steps behind them."""
        return {} if self._utility is None else {"utility": self._utility, "steps": self._steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up what `state_dict` returned."""
        self._utility, self._steps = state["utility"], state["steps"]

    @torch.no_grad()
    def after_gradient(self, training: Training) -> None:
        """Follows the utilities."""
        vector, gradient, live = training.flat.vector, training.flat.gradient, training.live
        if self._utility is None:
            self._utility = torch.zeros_like(gradient)
        self._steps += 1
        self._utility.mul_(self._decay).sub_(gradient * vector, alpha=1 - self._decay)
        corrected = self._utility / (1 - self._decay**self._steps)
        # Without a positive utility the quotient would change its sign, or be 0 / 0.
        largest = corrected if live is None else corrected[live]
        smallest = torch.finfo(gradient.dtype).tiny
        used = torch.sigmoid(corrected / largest.max().clamp_min(smallest))
        self._before = vector.clone(), 1 - used

    @torch.no_grad()
    def after_step(self, training: Training) -> None:
        if self._before is None:  # the optimizer has left this step out
            return
        before, free = self._before
        self._before = None
        group = training.optimizer.param_groups[0]
        decayed = before
        if _decays_apart(training.optimizer):
            decayed = before * (1 - group["lr"] * group["weight_decay"])
        vector = training.flat.vector
        noise = normal_noise(training, "upgd").mul_(free)
        step = vector - decayed
        if self._protects:
            step.mul_(free)
        vector.copy_(decayed).add_(step).sub_(noise, alpha=group["lr"] * self._noise)


def _decays_apart(optimizer: torch.optim.Optimizer) -> bool:
    """Whether an optimizer's weight decay is no part of its moments."""
    if isinstance(optimizer, torch.optim.SGD):
        return not optimizer.param_groups[0]["momentum"]
    return isinstance(optimizer, torch.optim.AdamW)


make = UPGD
