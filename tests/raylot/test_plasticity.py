"""Plasticity metrics against values worked out by hand or with an independent formula."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from raylot.config import PlasticityOptions
from raylot.data import Task
from raylot.plasticity import dead_fraction, dormant_fraction, effective_rank, measure
from raylot.randomness import RandomKey
from tests.raylot.tasks import random_task, small_network

_ACTIVATIONS = torch.tensor([[0.0, 1.0, 0.0, 0.1], [0.0, 3.0, 2.0, 0.0]])


def test_a_unit_is_dead_if_it_is_zero_on_the_whole_probe() -> None:
    assert dead_fraction(_ACTIVATIONS) == 0.25


def test_a_unit_is_dormant_if_it_is_silent_beside_its_layer() -> None:
    # mean |activation| 0, 2, 1, 0.05; their mean 0.7625; scores 0, 2.62, 1.31, 0.066
    assert dormant_fraction(_ACTIVATIONS, 0.025) == 0.25
    assert dormant_fraction(_ACTIVATIONS, 0.066) == 0.5
    assert dormant_fraction(torch.zeros(3, 5), 0.025) == 1.0


def test_effective_rank_by_hand() -> None:
    assert effective_rank(torch.eye(5)) == pytest.approx(5)
    assert effective_rank(torch.ones(4, 3)) == pytest.approx(1)
    assert effective_rank(torch.zeros(4, 3)) == 0
    # singular values 3 and 1: shares 3/4 and 1/4
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert effective_rank(torch.diag(torch.tensor([3.0, 1.0]))) == pytest.approx(math.exp(entropy))


def test_effective_rank_agrees_with_numpy_on_any_matrix() -> None:
    matrix = torch.randn(20, 7, generator=torch.Generator().manual_seed(0))
    shares = np.linalg.svd(matrix.numpy().astype(float), compute_uv=False)
    shares = shares / shares.sum()
    assert effective_rank(matrix) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))


def _values(network: nn.Module, task: Task, **options: object) -> dict[tuple[str, str], float]:
    settings = PlasticityOptions(**{"probe_size": 40, **options})  # type: ignore[arg-type]
    rows = measure(network, task, settings, RandomKey((0,)))
    assert len({(row["layer"], row["metric"]) for row in rows}) == len(rows)
    return {(row["layer"], row["metric"]): row["value"] for row in rows}


def test_a_network_worked_out_by_hand() -> None:
    """Two hidden units, one of them dead, on inputs (1, 0) and (0, 1)."""
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        network.get_parameter("0.weight").copy_(torch.tensor([[2.0, 1.0], [-1.0, -1.0]]))
        network.get_parameter("2.weight").copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    inputs = torch.tensor([[1, 0], [0, 1]], dtype=torch.uint8)
    labels = torch.tensor([0, 1])
    found = _values(network, Task(inputs, labels, inputs, labels, 2))
    assert found["0", "dead_fraction"] == found["all", "dead_fraction"] == 0.5
    assert found["0", "dormant_fraction"] == 0.5
    assert found["0", "effective_rank"] == pytest.approx(1)
    assert found["0", "weight_norm"] == pytest.approx(math.sqrt(7))
    assert found["2", "weight_norm"] == pytest.approx(math.sqrt(5))
    assert found["all", "weight_norm"] == pytest.approx(math.sqrt(12))
    assert found["0", "weight_magnitude"] == pytest.approx(5 / 4)
    assert found["all", "weight_magnitude"] == pytest.approx(8 / 8)
    # hidden (2, 0) and (1, 0), logits (2, 0) and (1, 0): d loss / d logit0 = (p0 - y0) / 2
    p0 = [1 / (1 + math.exp(-2)), 1 / (1 + math.exp(-1))]
    slope = ((p0[0] - 1) * 2 + p0[1] * 1) / 2  # of output weight (0, 0); (1, 0) has minus it
    assert found["2", "gradient_norm"] == pytest.approx(math.hypot(slope, slope), rel=1e-5)


def test_the_whole_network_weights_units_equally_and_averages_ranks() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 3)
    )
    with torch.no_grad():
        network.get_parameter("0.bias")[0] = -1e6  # one of 4 units dead
    found = _values(network, random_task())
    assert found["0", "dead_fraction"] >= 0.25
    assert found["all", "dead_fraction"] == pytest.approx(
        (4 * found["0", "dead_fraction"] + 12 * found["2", "dead_fraction"]) / 16
    )
    assert found["all", "effective_rank"] == pytest.approx(
        (found["0", "effective_rank"] + found["2", "effective_rank"]) / 2
    )


def test_gradient_norm_is_that_of_the_mean_loss_on_the_probe() -> None:
    task, network = random_task(), small_network()
    found = _values(network, task)  # the probe is the whole training split
    loss = F.cross_entropy(network(task.train_inputs.float()), task.train_labels)
    gradients = torch.autograd.grad(
        loss, [network.get_parameter("0.weight"), network.get_parameter("2.weight")]
    )
    assert found["0", "gradient_norm"] == pytest.approx(float(gradients[0].norm()), rel=1e-5)
    total = math.hypot(float(gradients[0].norm()), float(gradients[1].norm()))
    assert found["all", "gradient_norm"] == pytest.approx(total, rel=1e-5)


def test_a_channel_is_a_unit_and_its_positions_are_examples() -> None:
    network = nn.Sequential(nn.Conv2d(1, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))
    with torch.no_grad():
        network.get_parameter("0.bias").copy_(torch.tensor([-1e6, 0.0, 0.0]))
    inputs = torch.randint(0, 9, (30, 1, 3, 3), generator=torch.Generator().manual_seed(1))
    labels = torch.zeros(30, dtype=torch.int64)
    found = _values(network, Task(inputs, labels, inputs, labels, 2), probe_size=30)
    hidden = F.relu(network[0](inputs.float()))
    dead = float((hidden == 0).all(dim=0).all(dim=(1, 2)).float().mean())
    assert dead >= 1 / 3
    assert found["0", "dead_fraction"] == pytest.approx(dead)


def test_the_probe_is_fixed_by_the_key_and_measuring_changes_nothing() -> None:
    task, network = random_task(), small_network()
    before = copy.deepcopy(network.state_dict())
    first = _values(network, task, probe_size=10)
    assert _values(network, task, probe_size=10) == first
    assert measure(network, task, PlasticityOptions(probe_size=10), RandomKey((1,))) != measure(
        network, task, PlasticityOptions(probe_size=10), RandomKey((0,))
    )
    assert all(torch.equal(before[n], v) for n, v in network.state_dict().items())
    assert all(p.grad is None for p in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())


def test_weights_that_are_not_finite_give_nan_not_an_error() -> None:
    network = small_network()
    with torch.no_grad():
        network.get_parameter("0.weight")[0, 0] = math.inf
    found = _values(network, random_task())
    assert math.isnan(found["all", "weight_norm"])
