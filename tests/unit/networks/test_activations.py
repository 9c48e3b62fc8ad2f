"""Activation functions by hand, and where their units are."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch

from raylot.config import NetworkOptions
from raylot.networks.activations import ACTIVATIONS, CReLU, Fourier, PReLU, copies_of


def test_every_activation_is_there() -> None:
    assert list(ACTIVATIONS) == list(get_args(NetworkOptions.model_fields["activation"].annotation))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("relu", [0, 0, 1]),
        ("leaky_relu", [-0.02, 0, 1]),
        ("elu", [math.exp(-2) - 1, 0, 1]),
        ("gelu", [-2 * 0.5 * math.erfc(2 / math.sqrt(2)), 0, 0.5 * math.erfc(-1 / math.sqrt(2))]),
        ("silu", [-2 / (1 + math.exp(2)), 0, 1 / (1 + math.exp(-1))]),
        ("tanh", [math.tanh(-2), 0, math.tanh(1)]),
        ("crelu", [0, 0, 1, 2, 0, 0]),
        ("fourier", [math.sin(-2), 0, math.sin(1), math.cos(2), 1, math.cos(1)]),
        ("prelu", [-0.5, 0, 1]),
    ],
)
def test_values_of_minus_two_zero_and_one(name: str, expected: list[float]) -> None:
    """One example with three units."""
    activation = ACTIVATIONS[name](3, 1)
    (outputs,) = activation(torch.tensor([[-2.0, 0.0, 1.0]])).tolist()
    assert outputs == pytest.approx(expected, abs=1e-6)
    assert len(outputs) == 3 * copies_of(activation)


@pytest.mark.parametrize("make", [CReLU, Fourier])
def test_both_numbers_of_a_unit_are_as_far_apart_as_there_are_units(make: type[CReLU]) -> None:
    image, sequence = torch.randn(2, 3, 4, 5), torch.randn(2, 4, 3)
    assert make()(image).shape == (2, 6, 4, 5)
    assert make(-1)(sequence).shape == (2, 4, 6)
    assert torch.equal(make()(image)[:, 4], make()(image[:, 1:2])[:, 1])
    assert torch.equal(make(-1)(sequence)[..., 4], make(-1)(sequence[..., 1:2])[..., 1])


def test_each_unit_has_a_leak_that_is_learnt() -> None:
    """d/da of a min(z, 0), summed: -2 - 3 for the first unit, -1 for the second."""
    prelu = PReLU(2)
    with torch.no_grad():
        prelu.weight.copy_(torch.tensor([0.5, 2.0]))
    outputs = prelu(torch.tensor([[-2.0, 4.0], [-3.0, -1.0]]))
    assert outputs.tolist() == [[-1, 4], [-1.5, -2]]
    outputs.sum().backward()
    assert prelu.weight.grad is not None
    assert prelu.weight.grad.tolist() == [-5, -1]
    prelu.reset_parameters()
    assert prelu.weight.tolist() == [0.25, 0.25]


def test_a_leak_is_that_of_a_channel_and_of_a_place_at_the_end() -> None:
    leaks = torch.tensor([0.0, 1.0, 2.0])
    for dim, shape in ((1, (2, 3, 2, 2)), (-1, (2, 4, 3))):
        prelu = PReLU(3, dim)
        prelu.load_state_dict({"weight": leaks})
        outputs = prelu(-torch.ones(shape)).movedim(dim, -1)
        assert torch.equal(outputs, -leaks.expand_as(outputs))
