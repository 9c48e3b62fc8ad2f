"""Saturated units against gradients worked out by hand, and one backward pass per example."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raylot.networks.activations import CReLU
from raylot.plasticity.activations import recorded_activations
from raylot.plasticity.saturation import saturated_fraction
from tests.unit.plasticity.examples import EXAMPLES, Example, example


def test_a_unit_is_saturated_where_more_than_99_percent_of_the_examples_saturate_it() -> None:
    gradient = torch.ones(200, 3)
    gradient[2:, 0] = 0  # 99% exactly
    gradient[1:, 1] = 0
    assert saturated_fraction(torch.ones(3), gradient, 1e-4) == pytest.approx(1 / 3)


def test_a_gradient_counts_beside_the_units_own_magnitude() -> None:
    gradient = torch.full((5, 3), 1e-3)
    assert saturated_fraction(torch.tensor([1.0, 11.0, 9.0]), gradient, 1e-4) == pytest.approx(
        1 / 3
    )
    assert saturated_fraction(torch.zeros(2), torch.zeros(4, 2), 1e-4) == 1


@pytest.mark.parametrize("inplace", [False, True])
def test_a_dead_relu_and_a_far_tanh_are_saturated_and_their_neighbours_are_not(
    inplace: bool,
) -> None:
    relu = nn.Sequential(nn.Linear(6, 2), nn.ReLU(inplace), nn.Linear(2, 3))
    tanh = nn.Sequential(nn.Linear(6, 2), nn.Tanh(), nn.Linear(2, 3))
    for network, bias in ((relu, -100.0), (tanh, 100.0)):
        with torch.no_grad():
            network.get_parameter("0.weight").mul_(0.5)
            network.get_parameter("0.bias").copy_(torch.tensor([0.5, bias]))
            network.get_parameter("2.weight").fill_(1).cumsum_(0)
        one = Example(network, {}, example("dense").task)
        assert one.measured("saturation") == {
            ("0", "saturated_fraction"): 0.5, ("all", "saturated_fraction"): 0.5
        }  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("threshold", [1e-4, 0.1, 0.5])
def test_agrees_with_a_backward_pass_per_example(name: str, threshold: float) -> None:
    one = example(name)
    network = one.network
    assert isinstance(network, nn.Sequential)
    first = 2 if name == "conv" else 1
    pre = network[:first](one.inputs).detach()
    gradients = []
    for z, label in zip(pre.split(1), one.labels.split(1), strict=True):
        z.requires_grad_()
        loss = F.cross_entropy(network[first:](z), label)
        gradients.append(torch.autograd.grad(loss, z)[0])
    units = pre.shape[1]
    z = pre.movedim(1, -1).reshape(-1, units).double()
    of_z = torch.cat(gradients).movedim(1, -1).reshape(-1, units).double()
    flat = (of_z.abs() < threshold * z.abs().mean(0)).double().mean(0)
    expected = float((flat > 0.99).double().mean())
    found = one.measured("saturation", saturation_threshold=threshold)
    assert found["all", "saturated_fraction"] == pytest.approx(expected)
    assert expected > 0 or threshold < 0.5


def test_gradients_are_those_in_pre_activations_of_any_layer() -> None:
    """CReLU: the gradient in z. A recurrent module: that in its hidden states."""
    torch.manual_seed(0)
    crelu = nn.Sequential(nn.Linear(4, 3), CReLU(), nn.Linear(6, 2))
    inputs = torch.randn(5, 4)
    with recorded_activations(crelu, pre_activations=True) as layers:
        loss = crelu(inputs).square().sum()
    loss.backward()
    z = crelu[0](inputs).detach().requires_grad_()
    crelu[1:](z).square().sum().backward()
    assert z.grad is not None
    assert layers["0"].before is not None
    assert torch.allclose(layers["0"].before.gradient, z.grad)
    assert torch.allclose(layers["0"].before.magnitude, z.detach().abs().double().mean(0))

    recurrent = nn.RNN(4, 3, batch_first=True)
    with recorded_activations(recurrent, pre_activations=True) as layers:
        states: Tensor = recurrent(torch.randn(5, 2, 4))[0]
    states.square().sum().backward()
    (layer,) = layers.values()
    assert layer.before is not None
    assert torch.allclose(layer.before.gradient[1::2], 2 * states[:, 1].detach())


def test_pre_activations_are_not_recorded_unless_asked_for() -> None:
    one = example("dense")
    with recorded_activations(one.network) as layers:
        one.network(one.inputs)
    assert [layer.before for layer in layers.values()] == [None]
