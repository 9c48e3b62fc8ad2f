"""Metrics of activations against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from raylot.plasticity import recorded_activations
from raylot.plasticity.activations import dead_fraction, dormant_fraction, unit_sign_entropy

_ACTIVATIONS = torch.tensor([[0.0, 1.0, 0.0, 0.1], [0.0, 3.0, 2.0, 0.0]])


def test_a_unit_is_dead_if_it_is_zero_on_the_whole_probe() -> None:
    assert dead_fraction(_ACTIVATIONS) == 0.25


def test_a_unit_is_dormant_if_it_is_silent_beside_its_layer() -> None:
    # mean |activation| 0, 2, 1, 0.05; their mean 0.7625; scores 0, 2.62, 1.31, 0.066
    assert dormant_fraction(_ACTIVATIONS, 0.025) == 0.25
    assert dormant_fraction(_ACTIVATIONS, 0.066) == 0.5
    assert dormant_fraction(torch.zeros(3, 5), 0.025) == 1.0


def test_unit_sign_entropy_by_hand() -> None:
    assert unit_sign_entropy(torch.tensor([0.5])) == pytest.approx(1)
    assert unit_sign_entropy(torch.tensor([0.0, 1.0])) == 0
    # active on a quarter of the probe: 1/4 log2 4 + 3/4 log2 4/3 bits
    quarter = 0.25 * 2 + 0.75 * math.log2(4 / 3)
    assert unit_sign_entropy(torch.tensor([0.25])) == pytest.approx(quarter)
    assert unit_sign_entropy(torch.tensor([0.75, 0.5, 1.0])) == pytest.approx((quarter + 1) / 3)


@pytest.mark.parametrize("inplace", [False, True])
def test_a_unit_is_active_where_its_pre_activation_is_positive(inplace: bool) -> None:
    """Pre-activations x, -x and -1 of x = -2, 0, 1, 3."""
    network = nn.Sequential(nn.Linear(1, 3), nn.LeakyReLU(0.5, inplace=inplace), nn.Linear(3, 2))
    with torch.no_grad():
        network.get_parameter("0.weight").copy_(torch.tensor([[1.0], [-1.0], [0.0]]))
        network.get_parameter("0.bias").copy_(torch.tensor([0.0, 0.0, -1.0]))
    with recorded_activations(network) as recorded:
        network(torch.tensor([[-2.0], [0.0], [1.0], [3.0]]))
    assert recorded["0"].active.tolist() == [0.5, 0.25, 0]
    assert recorded["0"].outputs.tolist() == [
        [-1, 2, -0.5], [0, 0, -0.5], [1, -0.5, -0.5], [3, -1.5, -0.5]
    ]  # fmt: skip


def test_a_channel_is_a_unit_and_its_positions_are_examples() -> None:
    """Two 1x1 filters, x and -x, on the two images (1, -2) and (3, 0)."""
    network = nn.Sequential(
        nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2)
    )
    with torch.no_grad():
        network.get_parameter("0.weight").copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
    with recorded_activations(network) as recorded:
        network(torch.tensor([[1.0, -2.0], [3.0, 0.0]]).view(2, 1, 1, 2))
    assert recorded["0"].outputs.tolist() == [[1, 0], [0, 2], [3, 0], [0, 0]]
    assert recorded["0"].active.tolist() == [0.5, 0.25]
    assert recorded["0"].singular_values.tolist() == pytest.approx([math.sqrt(10), 2])


def test_layers_are_named_after_their_weights_and_hooks_are_gone_afterwards() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 2)
    )
    inputs = torch.randn(7, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    with recorded_activations(network) as recorded:
        network(inputs)
    assert list(recorded) == ["0", "3"]
    assert torch.equal(
        recorded["3"].outputs, torch.tanh(network[3](F.relu(network[0](inputs)).flatten(1)))
    )
    for module in network.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
