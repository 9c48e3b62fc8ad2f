"""Perturbed gradient descent: normal noise on each gradient, drawn by the key and the step."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from raylot.config import OptimizerOptions
from raylot.tasks import Task
from tests.unit.interventions.trainings import KEY, make, step_without_inputs, trained


def test_one_step_by_hand() -> None:
    """Weights 3, gradient 0, lr 0.1: they move by -0.1 x 0.5 x the noise of the first step."""
    network = step_without_inputs(make("pgd", gradient_noise=0.5))
    seed = KEY.child("intervention", "pgd", 0).torch_seed()
    noise = torch.randn(6, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(network.weight.flatten(), 3 - 0.05 * noise[:4])
    torch.testing.assert_close(network.bias, 1 - 0.1 * torch.tensor([-0.5, 0.5]) - 0.05 * noise[4:])


def _noise(steps: int) -> Tensor:
    """The sum of the noise of some steps, at 40,000 weights whose gradient is 0."""
    network = nn.Linear(20_000, 2, bias=False)
    nn.init.zeros_(network.weight)
    zeros, labels = torch.zeros(steps, 20_000), torch.zeros(steps, dtype=torch.int64)
    trained(
        network, Task(zeros, labels, zeros[:1], labels[:1], 2), epochs=1, batch_size=1,
        intervention=make("pgd", gradient_noise=1.0),
        optimizer=OptimizerOptions(optimizer="sgd", lr=1.0),
    )  # fmt: skip
    return network.weight.detach().flatten()


def test_noise_is_normal_and_drawn_anew_in_each_step() -> None:
    """The mean of n draws is within 5 / sqrt(n), and so is their variance within 5 sqrt(2 / n)."""
    n = 40_000
    for steps in (1, 4):
        noise = _noise(steps) / math.sqrt(steps)
        assert abs(float(noise.mean())) < 5 / math.sqrt(n)
        assert float(noise.var()) == pytest.approx(1, abs=5 * math.sqrt(2 / n))
