"""Metrics of activations against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from raylot.config.plasticity_options import ProbeOptions
from raylot.networks.activations import CReLU, Fourier
from raylot.plasticity import recorded_activations
from raylot.plasticity.activations import (
    ACTIVATION_METRICS,
    dead_fraction,
    dormant_fraction,
    unit_sign_entropy,
)

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


def test_both_numbers_of_a_crelu_unit_are_one_unit() -> None:
    """Two units, z = x and z = 1, on x = 1, 2 and 3; neither is dead, though half of each is.

    The mean |activation| of unit 0 is (1 + 2 + 3) / 6 = 1, that of unit 1 is 1/2, their layer's is
    3/4: so unit 1 is dormant from a threshold of 2/3. No unit changes its sign. As the next layer
    sees it, there are four numbers of which two are 0.
    """
    network = nn.Sequential(nn.Linear(1, 2), CReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        network.get_parameter("0.weight").copy_(torch.tensor([[1.0], [0.0]]))
        network.get_parameter("0.bias").copy_(torch.tensor([0.0, 1.0]))
    with recorded_activations(network) as recorded:
        network(torch.tensor([[1.0], [2.0], [3.0]]))
    assert list(recorded) == ["0"]
    layer = recorded["0"]
    assert layer.outputs.tolist() == [[1, 1, 0, 0], [2, 1, 0, 0], [3, 1, 0, 0]]
    assert layer.active.tolist() == [1, 1]
    assert layer.by_unit.tolist() == [[1, 1], [0, 0], [2, 1], [0, 0], [3, 1], [0, 0]]
    for threshold, expected in ((0.66, 0.0), (0.67, 0.5)):
        options = ProbeOptions(dormant_threshold=threshold)
        values = {n: metric.of_layer(layer, options) for n, metric in ACTIVATION_METRICS.items()}
        assert values["dormant_fraction"] == expected
        assert values["dead_fraction"] == values["unit_sign_entropy"] == 0
        assert values["srank"] == 2


def test_a_crelu_unit_is_dead_if_both_its_numbers_are() -> None:
    network = nn.Sequential(nn.Linear(1, 2), CReLU())
    nn.init.zeros_(network.get_parameter("0.weight"))
    with torch.no_grad():
        network.get_parameter("0.bias").copy_(torch.tensor([0.0, -1.0]))
    with recorded_activations(network) as recorded:
        network(torch.ones(3, 1))
    dead = ACTIVATION_METRICS["dead_fraction"].of_layer(recorded["0"], ProbeOptions())
    assert dead == 0.5


def test_a_gated_unit_is_one_unit() -> None:
    """GLU makes 2 units of 4 numbers: on x = 1, 2 and 3 they are x / 2 and 0."""
    network = nn.Sequential(nn.Linear(1, 4), nn.GLU())
    with torch.no_grad():
        network.get_parameter("0.weight").copy_(torch.tensor([[1.0], [0.0], [0.0], [0.0]]))
        network.get_parameter("0.bias").zero_()
    with recorded_activations(network) as recorded:
        network(torch.tensor([[1.0], [2.0], [3.0]]))
    (layer,) = recorded.values()
    assert layer.by_unit.tolist() == [[0.5, 0], [1, 0], [1.5, 0]]
    assert ACTIVATION_METRICS["dead_fraction"].of_layer(layer, ProbeOptions()) == 0.5


def test_fourier_features_are_seen_and_other_sines_are_not() -> None:
    """One unit, z = 0 and then pi: (sin, cos) = (0, 1) and (0, -1); a channel is a unit."""
    network = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), Fourier())
    nn.init.ones_(network.get_parameter("0.weight"))
    image = torch.tensor([0.0, math.pi]).view(1, 1, 1, 2)
    with recorded_activations(network) as recorded:
        network(image).sin()
    (layer,) = recorded.values()
    assert layer.outputs.flatten().tolist() == pytest.approx([0, 1, 0, -1], abs=1e-6)
    assert layer.active.tolist() == [0.5]
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_units_of_a_sequence_are_last() -> None:
    """Four places with four units, of which each has two numbers, and three places with two."""
    for places, units in ((4, 4), (3, 2)):
        network = nn.Sequential(nn.Linear(5, units), CReLU(-1))
        inputs = torch.randn(2, places, 5)
        with recorded_activations(network) as recorded:
            outputs = network(inputs)
        assert torch.equal(recorded["0"].outputs, outputs.reshape(-1, 2 * units))
        assert recorded["0"].active.shape == (units,)
