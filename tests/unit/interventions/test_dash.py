"""DASH: the factors of a step worked out by hand, which tasks it acts on, and masks."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raylot.interventions.dash import DASH
from raylot.tasks import Task
from raylot.training import Training
from raylot.training.flat import FlatParameters
from tests.support.tasks import random_task, small_network
from tests.unit.interventions.trainings import KEY, STANDING_STILL, make, trained
from tests.unit.training.networks import vector


def _shrunk(network: nn.Module, task: Task, live: Tensor | None = None, **options: Any) -> None:
    """Lets DASH act before the second task of a stream."""
    method = make("dash", **options)
    method.load_state_dict({"tasks": 1})
    with FlatParameters(network) as flat:
        stepper = torch.optim.SGD([flat.vector], lr=0.1)
        method.on_task_start(Training(network, task, flat, stepper, KEY, live=live))


def _linear() -> tuple[nn.Linear, Task]:
    """On inputs (3, 4) with label 0, -gradient points along (3, 4; -3, -4), biases (1, -1)."""
    network = nn.Linear(2, 2)
    network.weight.detach().copy_(torch.tensor([[1.0, 0], [2, 2]]))
    network.bias.detach().copy_(torch.tensor([2.0, 1]))
    inputs, labels = torch.tensor([[3.0, 4.0]]), torch.zeros(1, dtype=torch.int64)
    return network, Task(inputs, labels, inputs, labels, 2)


def test_factors_by_hand() -> None:
    """Cosines 3/5 and -7/(5 sqrt 2), clipped to 0.3; of the biases (2 - 1) / sqrt(2 x 5)."""
    network, task = _linear()
    _shrunk(network, task)
    torch.testing.assert_close(network.weight.detach(), torch.tensor([[0.6, 0], [0.6, 0.6]]))
    torch.testing.assert_close(network.bias.detach(), torch.tensor([2.0, 1]) / math.sqrt(10))


def test_cosines_are_those_of_live_weights() -> None:
    """Without its second entry, the first row points just where it should."""
    network, task = _linear()
    live = torch.tensor([True, False, True, True, True, True])
    network.weight.detach()[0, 1] = -5
    _shrunk(network, task, live)
    assert float(network.weight.detach()[0, 0]) == pytest.approx(1)


def test_the_running_mean_of_gradients_and_the_kernels_of_a_convolution() -> None:
    """Two batches, of 128 and 72 examples, with their gradients taken one by one."""
    network = nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 4, 2), nn.Flatten(), nn.Linear(8, 3)
    )
    task = random_task(examples=300)
    order = torch.from_numpy(KEY.child("dash").generator().permutation(200))
    kernel, mean = network.get_parameter("1.weight"), torch.zeros(4, 1, 2, 2)
    for batch in (order[:128], order[128:]):
        loss = F.cross_entropy(network(task.train_inputs[batch].float()), task.train_labels[batch])
        (gradient,) = torch.autograd.grad(loss, kernel)
        mean = 0.4 * mean - 0.6 * gradient
    expected = kernel.detach().clone()
    for unit in range(4):
        cosine = F.cosine_similarity(mean[unit].flatten(), expected[unit].flatten(), dim=0)
        expected[unit] *= cosine.clamp(0.1, 1)
    _shrunk(network, task, dash_rate=0.6, dash_shrink=0.1)
    torch.testing.assert_close(kernel.detach(), expected)


def test_it_acts_before_all_tasks_but_the_first() -> None:
    network, method = small_network(), make("dash")
    assert isinstance(method, DASH)
    start = vector(network)
    trained(network, intervention=method, optimizer=STANDING_STILL, whole_task=True)
    assert torch.equal(vector(network), start)
    trained(network, intervention=method, optimizer=STANDING_STILL)  # a search is no task
    assert torch.equal(vector(network), start)
    trained(network, intervention=method, optimizer=STANDING_STILL, whole_task=True)
    assert not torch.equal(vector(network), start)
    assert method.state_dict() == {"tasks": 2}
