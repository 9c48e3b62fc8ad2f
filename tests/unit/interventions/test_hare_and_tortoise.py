"""Hare and Tortoise: the mean and the loss that it is evaluated with, by hand; its state."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from raylot.config import OptimizerOptions
from raylot.tasks import Task
from tests.support.tasks import small_network
from tests.unit.interventions.trainings import make, trained, with_batch_norm
from tests.unit.training.networks import bits, random_masks, vector, weights_of


def _stepped(steps: int, **options: Any) -> tuple[nn.Linear, float, Any]:
    """Steps of SGD, lr 0.1, of biases from 0 on inputs of 0 with label 0; the test loss; method."""
    zeros, labels = torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64)
    network = nn.Linear(2, 2)
    nn.init.zeros_(network.bias)
    method = make("hare_and_tortoise", **options)
    result = trained(
        network, Task(zeros, labels, zeros, labels, 2), epochs=steps, intervention=method,
        optimizer=OptimizerOptions(optimizer="sgd", lr=0.1), learning_curve=True,
    )  # fmt: skip
    return network, result.test_loss, method


def test_two_steps_by_hand() -> None:
    """Hare 0, 0.05, 0.05 + 0.1 / (1 + e^0.1); with m = 0.9 the tortoise 0, 0.005, ..."""
    network, loss, _ = _stepped(2, tortoise_decay=0.9, hare_interval=100)
    hare = 0.05 + 0.1 / (1 + math.exp(0.1))
    tortoise = 0.9 * 0.005 + 0.1 * hare
    assert network.bias.tolist() == pytest.approx([hare, -hare], abs=1e-6)
    assert loss == pytest.approx(math.log(1 + math.exp(-2 * tortoise)), abs=1e-6)


def test_the_hare_is_set_back_after_each_interval() -> None:
    """After the second step to the tortoise; a third goes on from there."""
    network, _, method = _stepped(2, tortoise_decay=0.9, hare_interval=2)
    hare = 0.05 + 0.1 / (1 + math.exp(0.1))
    tortoise = 0.9 * 0.005 + 0.1 * hare
    assert network.bias.tolist() == pytest.approx([tortoise, -tortoise], abs=1e-6)
    assert method.state_dict()["steps"] == 2
    network, _, _ = _stepped(3, tortoise_decay=0.9, hare_interval=2)
    third = tortoise + 0.1 / (1 + math.exp(2 * tortoise))
    assert network.bias.tolist() == pytest.approx([third, -third], abs=1e-6)


def test_evaluations_leave_the_hare_as_it_is() -> None:
    """Looking at the tortoise after each epoch changes no bit, running statistics included."""
    ends = []
    for curve in (False, True):
        network = with_batch_norm()
        method = make("hare_and_tortoise", tortoise_decay=0.9, hare_interval=4)
        trained(network, intervention=method, learning_curve=curve)
        ends.append(network.state_dict())
    for name, tensor in ends[0].items():
        assert torch.equal(tensor, ends[1][name]), name


def test_the_tortoise_has_statistics_of_its_own() -> None:
    network = with_batch_norm()
    method = make("hare_and_tortoise", tortoise_decay=0.9, hare_interval=100)
    trained(network, intervention=method)
    state = method.state_dict()
    hare = network.get_buffer("2.running_mean")
    assert not torch.equal(torch.as_tensor(state["buffer/2.running_mean"]), hare)
    assert state["buffer/2.num_batches_tracked"] == network.get_buffer("2.num_batches_tracked") == 6


@pytest.mark.parametrize("masked", ["zero", "freeze"])
def test_the_tortoise_of_a_pruned_weight_is_bit_for_bit_that_weight(masked: str) -> None:
    network = small_network()
    masks = random_masks(network, 0.5, 0)
    method = make("hare_and_tortoise", tortoise_decay=0.9, hare_interval=100)
    trained(network, intervention=method, masks=masks, masked=masked)
    tortoise = torch.as_tensor(method.state_dict()["parameters"])
    pruned = torch.cat(
        [~masks[n].flatten() if n in masks else torch.zeros(p.numel(), dtype=torch.bool)
         for n, p in network.named_parameters()]
    )  # fmt: skip
    assert weights_of(network)
    assert torch.equal(bits(tortoise)[pruned], bits(vector(network))[pruned])
    assert not torch.equal(tortoise[~pruned], vector(network)[~pruned])
