"""Learning rates: by hand, as PyTorch's own schedulers, and in trainings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    SequentialLR,
)

from raylot.config import OptimizerOptions
from raylot.foundation.randomness import RandomKey
from raylot.training import Intervention, Training, train
from raylot.training.schedules import rate_factor
from tests.support.tasks import random_task, small_network
from tests.unit.training.networks import bits, vector


def _factors(steps: int, **options: Any) -> list[float]:
    factor = rate_factor(OptimizerOptions(**options), steps)
    assert factor is not None
    return [factor(step) for step in range(steps)]


def test_factors_by_hand() -> None:
    assert rate_factor(OptimizerOptions(), 100) is None
    assert rate_factor(OptimizerOptions(warmup=0.01), 10) is None  # less than half a step
    assert _factors(4, warmup=0.5) == [0.5, 1, 1, 1]
    assert _factors(4, warmup=0.4) == [0.5, 1, 1, 1]  # 1.6 steps are rounded
    assert _factors(4, schedule="cosine") == pytest.approx([1, 0.853553, 0.5, 0.146447], rel=1e-5)
    assert _factors(6, schedule="cosine", warmup=1 / 3) == pytest.approx(
        [0.5, 1, 1, 0.853553, 0.5, 0.146447], rel=1e-5
    )
    assert _factors(8, schedule="step") == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])
    assert _factors(4, schedule="step", step_factor=0.5, step_at=(0.25,), warmup=0.5) == [
        0.5, 1, 0.5, 0.5,
    ]  # fmt: skip
    assert _factors(3, schedule="cosine", warmup=1) == pytest.approx([1 / 3, 2 / 3, 1])


@pytest.mark.parametrize("rising", [0, 5])
@pytest.mark.parametrize("schedule", ["constant", "cosine", "step"])
def test_factors_are_those_of_pytorchs_schedulers(schedule: str, rising: int) -> None:
    """Steps of pytorch's sequence count from the end of the warm-up; ours from the beginning."""
    stepper = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    after: dict[str, LRScheduler] = {
        "constant": MultiStepLR(stepper, []),
        "cosine": CosineAnnealingLR(stepper, 20 - rising),
        "step": MultiStepLR(stepper, [10 - rising, 15 - rising], 0.3),
    }
    scheduler = after[schedule]
    if rising:
        rise = LinearLR(stepper, 1 / rising, total_iters=rising - 1)
        scheduler = SequentialLR(stepper, [rise, scheduler], [rising])
    expected = []
    for _ in range(20):
        expected.append(stepper.param_groups[0]["lr"])
        stepper.step()
        scheduler.step()
    options = OptimizerOptions(schedule=schedule, warmup=rising / 20, step_factor=0.3)
    factor = rate_factor(options, 20) or (lambda step: 1.0)
    assert [factor(step) for step in range(20)] == pytest.approx(expected)


class _Rates(Intervention):
    """Notes the learning rate of each step."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def after_step(self, training: Training) -> None:
        self.rates.append(training.optimizer.param_groups[0]["lr"])


def _train(options: OptimizerOptions, network: nn.Module, **others: Any) -> list[float]:
    method = _Rates()
    arguments: dict[str, Any] = {"epochs": 2, "batch_size": 16, "key": RandomKey((0,))} | others
    train(network, random_task(), optimizer=options, intervention=method, **arguments)
    return method.rates


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
def test_a_training_steps_at_the_rates_of_its_schedule(optimizer: str) -> None:
    """40 examples in batches of 16, 16 and 8: six steps, of which the first two rise."""
    options = OptimizerOptions(
        optimizer=optimizer, lr=0.5, schedule="cosine", warmup=1 / 3, step_at=(0.1,)
    )
    found = _train(options, small_network())
    assert found == pytest.approx([0.25, 0.5, 0.5, 0.4267767, 0.25, 0.0732233], rel=1e-5)
    assert _train(options, small_network()) == found  # and it starts over with each training


def test_the_learning_rate_moves_the_weights() -> None:
    """With SGD without momentum: the step at a tenth of the rate moves weights a tenth as far."""
    steps = {}
    for name, options in {
        "plain": OptimizerOptions(optimizer="sgd", lr=0.01),
        "tenth": OptimizerOptions(optimizer="sgd", lr=0.1, warmup=1.0),  # at step 1 of 10
    }.items():
        network = small_network()
        before = vector(network)
        _train(options, network, epochs=1, batch_size=4, max_steps=1)
        steps[name] = vector(network) - before
    torch.testing.assert_close(steps["plain"], steps["tenth"])
    assert steps["plain"].abs().max() > 0


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step"])
def test_the_steps_to_a_rewinding_state_are_the_first_of_the_whole_training(schedule: str) -> None:
    """A training that stops early follows the schedule of the whole one."""
    options = OptimizerOptions(lr=0.01, schedule=schedule, warmup=0.2, step_at=(0.5,))
    whole, early = _train(options, small_network()), _train(options, small_network(), max_steps=4)
    assert early == whole[:4]
    network = small_network()
    assert _train(options, network, epochs=1, drop_last=True) == pytest.approx(
        [0.01 * factor for factor in _factors(2, schedule=schedule, warmup=0.2, step_at=(0.5,))]
        if schedule != "constant"
        else [0.01, 0.01]
    )


def test_a_constant_schedule_is_none_at_all() -> None:
    ends = []
    for options in (OptimizerOptions(), OptimizerOptions(step_at=(0.1,), step_factor=0.5)):
        network = small_network()
        _train(options, network)
        ends.append(bits(vector(network)))
    assert torch.equal(*ends)
