"""PyTorch's own initialisation, decided by the key alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from raylot.config import NetworkOptions
from raylot.foundation.randomness import RandomKey
from raylot.networks import build
from raylot.networks.prunable import prunable_weights
from tests.unit.networks.architectures.variants import VARIANTS, built, parameters


@pytest.mark.parametrize(("network", "norm"), VARIANTS)
def test_every_network_depends_on_its_key_alone(network: str, norm: str) -> None:
    torch.manual_seed(1)
    first = built(network, norm=norm, width=2).state_dict()
    torch.manual_seed(2)
    second = built(network, norm=norm, width=2).state_dict()
    other = built(network, norm=norm, width=2, seed=1).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    for name in prunable_weights(built(network, norm=norm, width=2)):
        assert not torch.equal(first[name], other[name])


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(5)
    torch.manual_seed(3)
    build(NetworkOptions(), (1, 8, 8), 10, RandomKey((0,)))
    assert torch.equal(torch.rand(5), expected)


def test_initialisation_is_pytorchs_own() -> None:
    key = RandomKey((4, "init"))
    torch.manual_seed(key.torch_seed())
    layers = {"hidden1": nn.Linear(6, 4), "hidden2": nn.Linear(4, 3), "output": nn.Linear(3, 5)}
    built = parameters(key)
    for name, layer in layers.items():
        assert torch.equal(built[f"{name}.weight"], layer.weight)
        assert torch.equal(built[f"{name}.bias"], layer.bias)


def test_initial_weights_are_pinned() -> None:
    weight = parameters(RandomKey((0, "init")))["hidden1.weight"]
    expected = [0.09957188, 0.35697952, 0.11278059]
    assert weight[0, :3].tolist() == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ("lenet", [0.10369799, -0.00726599, -0.06843419]),
        ("vgg", [-0.0364031, -0.00898498, -0.06338166]),
        ("resnet", [0.03792608, -0.01054645, -0.11203259]),
    ],
)
def test_initial_output_weights_are_pinned(network: str, expected: list[float]) -> None:
    weight = built(network).state_dict()["output.weight"]  # drawn last
    assert weight[0, :3].tolist() == pytest.approx(expected, abs=1e-7)
