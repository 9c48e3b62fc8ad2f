"""Small networks trained with an intervention."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from raylot import interventions
from raylot.config import InterventionOptions, OptimizerOptions
from raylot.foundation.randomness import RandomKey
from raylot.tasks import Task
from raylot.training import Intervention, TrainingResult, train
from tests.support.tasks import random_task

KEY = RandomKey((0, "test"))

#: Steps this small change no weight by a single bit.
STANDING_STILL = OptimizerOptions(optimizer="sgd", lr=1e-30)


def make(name: str, **options: Any) -> Intervention:
    # Not checked: numbers that are easy to follow are too large to be of use.
    changed = InterventionOptions().model_copy(update={"intervention": name, **options})
    made = interventions.make(changed)
    assert made is not None
    return made


def trained(network: nn.Module, task: Task | None = None, **arguments: Any) -> TrainingResult:
    """Two epochs of three steps each, unless arguments say otherwise.

    By one engine, as trainings with and without an intervention are compared bit for bit.
    """
    defaults: dict[str, Any] = {
        "epochs": 2, "batch_size": 16, "optimizer": OptimizerOptions(lr=0.01), "key": KEY,
        "engine": "generic",
    }  # fmt: skip
    return train(network, task or random_task(), **{**defaults, **arguments})


def step_without_inputs(
    intervention: Intervention, weight: Tensor | float = 3.0, **arguments: Any
) -> nn.Linear:
    """One step of SGD, lr 0.1, of weights 3 (or others) and biases 1, on inputs of 0 with label 0.

    The loss has gradient 0 at the weights, and at the biases softmax - target = (-0.5, 0.5).
    """
    zeros, labels = torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64)
    network = nn.Linear(2, 2)
    network.weight.detach().copy_(torch.as_tensor(weight))
    nn.init.ones_(network.bias)
    defaults = {"epochs": 1, "optimizer": OptimizerOptions(optimizer="sgd", lr=0.1)}
    trained(
        network, Task(zeros, labels, zeros, labels, 2), intervention=intervention,
        **{**defaults, **arguments},
    )  # fmt: skip
    return network


def with_batch_norm(seed: int = 0) -> nn.Sequential:
    return _with_norm(nn.BatchNorm2d(3), seed)


def with_group_norm(seed: int = 0) -> nn.Sequential:
    return _with_norm(nn.GroupNorm(1, 3), seed)


def _with_norm(norm: nn.Module, seed: int) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Unflatten(1, (1, 2, 3)),
            nn.Conv2d(1, 3, 2, bias=False),
            norm,
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(6, 3),
        )
