"""UPGD: one step worked out by hand, in all its forms; what no utility decides."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raylot.config import OptimizerOptions
from raylot.interventions._noise import normal_noise
from raylot.tasks import Task
from raylot.training import Training
from tests.unit.interventions.trainings import make, trained

_LR, _DECAY = 0.1, 0.5


class _Kept(type(make("upgd"))):  # type: ignore[misc]
    """Keeps the noise of its latest step."""

    noise: Tensor

    def after_step(self, training: Training) -> None:
        self.noise = normal_noise(training, "upgd")
        super().after_step(training)


def _stepped(optimizer: str, masks: Any = None, **options: Any) -> tuple[nn.Linear, Tensor]:
    """One step on inputs (1, 2) with label 0 of the weights (1, 0; -2, 0) and biases (0, 2).

    The logits are (1, 0), so softmax - target is (-q, q) with q = 1 / (1 + e), and the gradient
    of the weights is (-q, -2q; q, 2q), of the biases (-q, q).
    """
    network = nn.Linear(2, 2)
    network.weight.detach().copy_(torch.tensor([[1.0, 0], [-2, 0]]))
    network.bias.detach().copy_(torch.tensor([0.0, 2]))
    method = make("upgd", **options)
    method.__class__ = _Kept
    inputs, labels = torch.tensor([[1.0, 2.0]]), torch.zeros(1, dtype=torch.int64)
    decayed = OptimizerOptions(optimizer=optimizer, lr=_LR, weight_decay=_DECAY)
    trained(
        network, Task(inputs, labels, inputs, labels, 2), epochs=1, intervention=method,
        optimizer=decayed, masks=masks, masked="freeze",
    )  # fmt: skip
    return network, method.noise


_START = [1.0, 0, -2, 0, 0, 2]
_Q = 1 / (1 + math.e)
_GRADIENT = [-_Q, -2 * _Q, _Q, 2 * _Q, -_Q, _Q]
#: -g parameter is q (1, 0, 2, 0, 0, -2): in units of the largest (0.5, 0, 1, 0, 0, -1).
_SCALED = [0.5, 0, 1, 0, 0, -1]


def _free(scaled: list[float]) -> list[float]:
    return [1 - 1 / (1 + math.exp(-value)) for value in scaled]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("protect", [True, False])
def test_one_step_by_hand(optimizer: str, protect: bool) -> None:
    """(1 - lr decay) parameter - lr (step + noise) (1 - s); Adam's first step is the sign of g."""
    network, noise = _stepped(optimizer, gradient_noise=0.2, protect=protect)
    expected = []
    for i, (start, g, free) in enumerate(zip(_START, _GRADIENT, _free(_SCALED), strict=True)):
        step = g if optimizer == "sgd" else math.copysign(1, g)
        moved = step * (free if protect else 1) + 0.2 * float(noise[i]) * free
        expected.append((1 - _LR * _DECAY) * start - _LR * moved)
    found = [*network.weight.flatten().tolist(), *network.bias.tolist()]
    assert found == pytest.approx(expected, abs=1e-6)


def test_the_largest_utility_is_that_of_live_weights() -> None:
    """Frozen at -2, the most useful weight would halve what the first one's utility counts."""
    masks = {"weight": torch.tensor([[True, True], [False, True]])}
    network, _ = _stepped("sgd", masks, gradient_noise=0.0)
    (free,) = _free([1.0])
    expected = (1 - _LR * _DECAY) + _LR * _Q * free
    weight = network.weight.detach()
    assert float(weight[0, 0]) == pytest.approx(expected, abs=1e-6)
    assert float(weight[1, 0]) == -2


def test_utilities_are_corrected_for_their_start_at_0_and_decay() -> None:
    """After steps with -g parameter = 1 and 4 and decay 0.5: (0.5 + 4) / 2 / 0.75 = 3."""
    method = make("upgd", utility_decay=0.5, gradient_noise=0.0)
    network = nn.Linear(1, 1, bias=False)
    vector = nn.Parameter(torch.tensor([1.0]))
    for gradient in (-1.0, -4.0):
        flat: Any = type("Flat", (), {"vector": vector, "gradient": torch.tensor([gradient])})
        method.after_gradient(Training(network, None, flat, None, None))  # type: ignore[arg-type]
    state = method.state_dict()
    assert float(state["utility"]) / (1 - 0.5 ** state["steps"]) == pytest.approx(3)


def test_without_a_positive_utility_nothing_is_protected_more_than_by_half() -> None:
    """All parameters are 0, so no utility is positive and the sigmoid is 1/2."""
    network = nn.Linear(2, 2)
    nn.init.zeros_(network.weight)
    nn.init.zeros_(network.bias)
    inputs, labels = torch.ones(1, 2), torch.zeros(1, dtype=torch.int64)
    trained(
        network, Task(inputs, labels, inputs, labels, 2), epochs=1,
        intervention=make("upgd", gradient_noise=0.0),
        optimizer=OptimizerOptions(optimizer="sgd", lr=1.0),
    )  # fmt: skip
    assert network.bias.tolist() == [0.25, -0.25]
