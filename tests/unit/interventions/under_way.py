"""A training under way, for methods whose single steps are worked out by hand."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from raylot.config import OptimizerOptions
from raylot.networks.units import recorded_outputs
from raylot.tasks import Task
from raylot.training import Intervention, Training
from raylot.training.flat import FlatParameters
from raylot.training.optimizers import build_optimizer
from tests.unit.interventions.trainings import KEY


@contextlib.contextmanager
def under_way(
    network: nn.Module, inputs: Tensor, method: Intervention, optimizer: str = "adam"
) -> Iterator[Training]:
    """A training in which an optimizer has taken a step, and whose moments and counts are all 5."""
    labels = torch.zeros(len(inputs), dtype=torch.int64)
    options = OptimizerOptions.checked(
        optimizer=optimizer, momentum=0.9 if optimizer == "sgd" else 0.0
    )
    with FlatParameters(network) as flat:
        stepper = build_optimizer(
            flat.vector, options, None, counts_per_weight=method.counts_per_weight
        )
        with torch.no_grad():
            before = flat.vector.clone()
            stepper.step()
            flat.vector.copy_(before)
            for value in stepper.state[flat.vector].values():
                value.fill_(5)
        task = Task(inputs, labels, inputs, labels, 2)
        training = Training(network, task, flat, stepper, KEY, step=100, inputs=inputs)
        layers = method.observed_layers(network)
        with method.watch(training), recorded_outputs(network, layers) as training.given:
            yield training


def step_on(training: Training, method: Intervention, inputs: Tensor) -> None:
    """Lets a method act after a step on a batch that moves no weight."""
    training.inputs = inputs
    training.network(inputs)
    training.step += 1
    method.after_step(training)
