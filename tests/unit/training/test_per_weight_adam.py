"""Adam with a step count of each weight."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from raylot.training.per_weight_adam import PerWeightAdam


def _steps(stepper: torch.optim.Optimizer, weights: nn.Parameter, gradients: torch.Tensor) -> None:
    for gradient in gradients:
        weights.grad = gradient.clone()
        stepper.step()


@pytest.mark.parametrize("decoupled", [False, True])
def test_it_is_pytorchs_while_no_weight_has_started_anew(decoupled: bool) -> None:
    common: dict[str, Any] = {"lr": 0.01, "weight_decay": 0.1}
    torch.manual_seed(0)
    start, gradients = torch.randn(5, dtype=torch.float64), torch.randn(30, 5, dtype=torch.float64)
    own, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    _steps(PerWeightAdam([own], decoupled=decoupled, **common), own, gradients)
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    _steps(kind([theirs], **common), theirs, gradients)
    assert torch.allclose(own, theirs, rtol=1e-12)
    assert not torch.allclose(own, start)


def test_a_weight_that_starts_anew_moves_as_in_its_first_steps() -> None:
    """Adam's first step is lr in the direction of the gradient, whatever its size."""
    weights = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    stepper = PerWeightAdam([weights], lr=0.5, weight_decay=0, decoupled=False)
    _steps(stepper, weights, torch.ones(100, 2, dtype=torch.float64))
    for value in stepper.state[weights].values():
        value[0] = 0
    before = weights.detach().clone()
    _steps(stepper, weights, torch.tensor([[-1e-3, -1e-3]], dtype=torch.float64))
    moved = (weights - before).tolist()
    assert moved[0] == pytest.approx(0.5, rel=1e-4)
    # Of the other, the mean gradient is 0.9 x 1 - 0.1 x 1e-3, and its root mean square about 1.
    assert moved[1] == pytest.approx(-0.45, rel=0.02)
