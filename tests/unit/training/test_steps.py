"""Smoothed labels and short gradients: by hand, and what is measured of them."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raylot.config import OptimizerOptions
from raylot.foundation.randomness import RandomKey
from raylot.tasks import Task
from raylot.training import Intervention, Training, TrainingResult, train
from tests.support.tasks import random_task, small_network
from tests.unit.training.networks import random_masks, vector

_KEY = RandomKey((0, "test"))


def _train(network: nn.Module, options: OptimizerOptions, **changes: Any) -> TrainingResult:
    arguments: dict[str, Any] = {"task": random_task(), "epochs": 1, "batch_size": 40, "key": _KEY}
    return train(network, optimizer=options, **{**arguments, **changes})


def _sgd(**options: Any) -> OptimizerOptions:
    return OptimizerOptions(optimizer="sgd", lr=0.1, **options)


def test_a_step_on_smoothed_labels_by_hand() -> None:
    """Outputs say 3/4 and 1/4, targets 0.9 and 0.1: the gradient is the difference."""
    network = nn.Linear(1, 2)
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    with torch.no_grad():
        network.bias[0] = math.log(3)
    inputs, labels = torch.ones(40, 1), torch.zeros(40, dtype=torch.int64)
    task = Task(inputs, labels, inputs, labels, 2)
    result = _train(network, _sgd(label_smoothing=0.2), task=task, gradient_magnitudes=True,
                    gradient_products=True)  # fmt: skip
    torch.testing.assert_close(network.bias.detach(), torch.tensor([math.log(3) + 0.015, -0.015]))
    assert result.train_loss == pytest.approx(math.log(4 / 3))  # of the labels themselves
    assert result.online_accuracy == 1
    assert result.gradient_magnitudes is not None
    torch.testing.assert_close(result.gradient_magnitudes["bias"], torch.tensor([0.15, 0.15]))
    assert result.gradient_products is not None
    products = torch.tensor([-0.15 * math.log(3), 0.0])
    torch.testing.assert_close(result.gradient_products["bias"], products)
    # Weights of 0 moved as far as biases.
    assert result.test_loss == pytest.approx(math.log1p(math.exp(-math.log(3) - 0.06)))


class _Adding(Intervention):
    """Adds the sum of all weights to the loss; notes the gradient that it sees."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def loss_term(self, training: Training) -> Tensor:
        return training.flat.vector.sum()

    def after_gradient(self, training: Training) -> None:
        self.seen.append(training.flat.gradient.clone())


@pytest.mark.parametrize("clip", [0.01, 0.5, 1e6])
@pytest.mark.parametrize("is_masked", [False, True])
def test_gradients_are_shortened_after_masking_and_measured_before(
    clip: float, is_masked: bool
) -> None:
    """All that looks at gradients sees those of the loss; the step takes the shortened one."""
    network, adding = small_network(), _Adding()
    masks = random_masks(network, 0.5) if is_masked else None
    before, loop = vector(network), copy.deepcopy(network)
    result = _train(network, _sgd(clip_norm=clip), masks=masks, masked="freeze",
                    intervention=adding, gradient_magnitudes=True)  # fmt: skip

    order = torch.from_numpy(_KEY.child("epoch", 0).generator().permutation(40))
    task = random_task()
    logits = loop(task.train_inputs[order].float())
    loss = F.cross_entropy(logits, task.train_labels[order]) + sum(
        p.sum() for p in loop.parameters()
    )
    loss.backward()
    gradients = [p.grad for p in loop.parameters()]
    full = torch.cat([g.flatten() for g in gradients if g is not None])
    torch.testing.assert_close(adding.seen[0], full)
    assert result.gradient_magnitudes is not None
    found = torch.cat([m.flatten() for m in result.gradient_magnitudes.values()])
    torch.testing.assert_close(found, full.abs())

    for name, parameter in loop.named_parameters():
        if masks and name in masks and parameter.grad is not None:
            parameter.grad.mul_(masks[name])
    norm = torch.nn.utils.clip_grad_norm_(loop.parameters(), clip)
    assert 1 < norm < 1e6
    torch.optim.SGD(loop.parameters(), lr=0.1).step()
    torch.testing.assert_close(vector(network), vector(loop))
    moved = float((vector(network) - before).norm())
    assert moved == pytest.approx(0.1 * min(clip, float(norm)), rel=1e-3)
