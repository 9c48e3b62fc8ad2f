"""Adam with a step count of each weight, so that some weights can start anew."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


class PerWeightAdam(torch.optim.Optimizer):
    """Adam (Kingma & Ba 2015) whose bias corrections follow each weight's own step count.

    While no count has been set back, it is `torch.optim.Adam`, or `torch.optim.AdamW` if decoupled,
    up to rounding. Dohare et al. (2024) use such an Adam for continual backpropagation.

    Args:
        parameters: what to move.
        lr: learning rate.
        weight_decay: added to the gradient, or decoupled.
        decoupled: whether weights shrink by lr x weight_decay instead.
    """

    _BETAS, _EPS = (0.9, 0.999), 1e-8  # as in torch.optim

    def __init__(
        self, parameters: Iterable[nn.Parameter], *, lr: float, weight_decay: float, decoupled: bool
    ) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})
        self._decoupled = decoupled

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Takes a step; never calls the closure."""
        (first, second), eps = self._BETAS, self._EPS
        for group in self.param_groups:
            lr, decay = group["lr"], group["weight_decay"]
            for parameter in group["params"]:
                state, gradient = self.state[parameter], parameter.grad
                if not state:
                    for name in ("step", "exp_avg", "exp_avg_sq"):
                        state[name] = torch.zeros_like(parameter)
                if decay and self._decoupled:
                    parameter.mul_(1 - lr * decay)
                elif decay:
                    gradient = gradient.add(parameter, alpha=decay)
                count = state["step"].add_(1)
                mean = state["exp_avg"].lerp_(gradient, 1 - first)
                square = (
                    state["exp_avg_sq"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
                )
                root = (square / _correction(second, count)).sqrt_().add_(eps)
                parameter.addcdiv_(mean / _correction(first, count), root, value=-lr)


def _correction(kept: float, count: Tensor) -> Tensor:
    """Returns 1 - kept^count, by the fastest of the functions that compute powers."""
    return (count * math.log2(kept)).exp2_().neg_().add_(1)
