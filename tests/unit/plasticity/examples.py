"""Networks on which measures are compared with other ways to compute them: dense, masked, conv."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from raylot.config import PlasticityOptions
from raylot.foundation.randomness import RandomKey
from raylot.plasticity import measure
from raylot.tasks import Task
from raylot.training import Masks
from tests.support.tasks import random_task, small_network

KEY = RandomKey((0,))


class Example:
    """A network, its masks, and a task of 40 training examples in 3 classes."""

    def __init__(self, network: nn.Module, masks: Masks, task: Task) -> None:
        self.network, self.masks, self.task = network.eval(), masks, task
        self.inputs = task.scale(task.train_inputs)
        self.labels = task.train_labels
        self.parameters = dict(network.named_parameters())

    @property
    def live(self) -> Tensor:
        """Which entries of `vector` are live: boolean."""
        return torch.cat(
            [
                self.masks.get(name, torch.ones_like(p, dtype=torch.bool)).flatten()
                for name, p in self.parameters.items()
            ]
        )

    @property
    def vector(self) -> Tensor:
        """All parameters."""
        return torch.cat([p.detach().flatten() for p in self.parameters.values()])

    def outputs(self, vector: Tensor, inputs: Tensor) -> Tensor:
        """Logits of the network with other parameters."""
        sizes = [p.numel() for p in self.parameters.values()]
        parts = zip(self.parameters.items(), vector.split(sizes), strict=True)
        state = {name: part.view(p.shape) for (name, p), part in parts}
        logits: Tensor = functional_call(self.network, state, (inputs,))
        return logits

    def loss(self, vector: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of the network with other parameters."""
        return F.cross_entropy(self.outputs(vector, inputs), labels)

    def order(self) -> Tensor:
        """The order in which `measure` takes training examples."""
        return torch.from_numpy(KEY.generator().permutation(len(self.labels)))

    def measured(self, *measures: str, training: Any = None, **options: Any) -> dict[Any, float]:
        """Values by layer and metric; every note fails the test."""
        settings = PlasticityOptions(
            **{"probe_size": 40, "ntk_examples": 0, "sharpness_iterations": 0, **options}
        )
        rows = measure(
            self.network, self.task, settings, KEY, masks=self.masks, note=pytest.fail,
            built_in=(), measures=measures, training=training,
        )  # fmt: skip
        return {(row["layer"], row["metric"]): row["value"] for row in rows}


def _conv_task() -> Task:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 9, (60, 1, 5, 5), generator=generator).to(torch.uint8)
    labels = images.flatten(1).float().sum(1).argsort() % 3
    return Task(images[:40], labels[:40], images[40:], labels[40:], 3, divisor=4.0)


def example(name: str) -> Example:
    """``dense``, ``masked`` or ``conv``."""
    if name != "conv":
        network, task = small_network(), random_task()
        task = Task(
            task.train_inputs, task.train_labels, task.test_inputs, task.test_labels, 3,
            divisor=8.0,
        )  # fmt: skip
        masks: Masks = {}
        if name == "masked":
            generator = torch.Generator().manual_seed(3)
            for weight in ("0.weight", "2.weight"):
                shape = network.get_parameter(weight).shape
                masks[weight] = torch.rand(shape, generator=generator) < 0.4
        return Example(network, masks, task)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(27, 3)
        )
        with torch.no_grad():
            network.get_parameter("0.weight")[1].add_(network.get_parameter("0.weight")[0])
        network(torch.randn(20, 1, 5, 5))  # so that batch norm has statistics
    return Example(network, {}, _conv_task())


EXAMPLES = ("dense", "masked", "conv")
