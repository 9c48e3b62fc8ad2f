"""raylot.networks: layers and shapes, PyTorch's own initialisation, and one key per network."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from raylot.config import NetworkOptions
from raylot.networks import NETWORKS, build, mlp
from raylot.randomness import RandomKey

paths = st.tuples(st.integers(0, 2**63 - 1), st.text(max_size=5))


def parameters(key: RandomKey, hidden: tuple[int, ...] = (4, 3)) -> dict[str, Tensor]:
    network = build(NetworkOptions(hidden=hidden), (1, 2, 3), 5, key)
    return {name: weights.detach() for name, weights in network.named_parameters()}


@pytest.mark.parametrize(
    ("hidden", "shapes"),
    [
        ((), {"output": (10, 64)}),
        ((64,), {"hidden1": (64, 64), "output": (10, 64)}),
        ((100, 50), {"hidden1": (100, 64), "hidden2": (50, 100), "output": (10, 50)}),
    ],
)
def test_layers_and_shapes(hidden: tuple[int, ...], shapes: dict[str, tuple[int, int]]) -> None:
    network = mlp((1, 8, 8), hidden, 10)
    linear = {name: m for name, m in network.named_modules() if isinstance(m, nn.Linear)}
    assert {name: tuple(layer.weight.shape) for name, layer in linear.items()} == shapes
    assert {name: tuple(m.bias.shape) for name, m in linear.items()} == {
        name: shape[:1] for name, shape in shapes.items()
    }
    assert network(torch.zeros(7, 1, 8, 8)).shape == (7, 10)


def test_it_computes_what_an_mlp_computes() -> None:
    network = mlp((1, 1, 2), (2,), 2)
    network.load_state_dict(
        {
            "hidden1.weight": torch.tensor([[1.0, 2.0], [-1.0, 0.0]]),
            "hidden1.bias": torch.tensor([1.0, -1.0]),
            "output.weight": torch.tensor([[3.0, 1.0], [0.0, 5.0]]),
            "output.bias": torch.tensor([0.0, 7.0]),
        }
    )
    # (1, 2) -> (1 + 4 + 1, -1 - 1) = (6, -2) -> ReLU (6, 0) -> (18, 7)
    # (-5, 1) -> (-5 + 2 + 1, 5 - 1) = (-2, 4) -> ReLU (0, 4) -> (4, 27)
    inputs = torch.tensor([[[[1.0, 2.0]]], [[[-5.0, 1.0]]]])
    assert network(inputs).tolist() == [[18.0, 7.0], [4.0, 27.0]]


def test_every_network_can_be_built() -> None:
    for name in NETWORKS:
        network = build(NetworkOptions.checked(network=name), (1, 8, 8), 10, RandomKey((0,)))
        assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


@given(paths)
def test_the_key_alone_decides_the_weights(path: tuple[int, str]) -> None:
    torch.manual_seed(1)
    first = parameters(RandomKey(path))
    torch.manual_seed(2)
    second = parameters(RandomKey(path))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@given(paths, paths)
def test_another_key_gives_other_weights(path: tuple[int, str], other: tuple[int, str]) -> None:
    first, second = parameters(RandomKey(path)), parameters(RandomKey(other))
    same = [torch.equal(first[name], second[name]) for name in first]
    assert same == [path == other] * 6


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


@pytest.mark.parametrize(("layer", "fan_in"), [("hidden1", 784), ("output", 256)])
def test_initial_weights_fill_their_bounds(layer: str, fan_in: int) -> None:
    network = build(NetworkOptions(hidden=(256,)), (1, 28, 28), 10, RandomKey((0,)))
    initial = {name: values.detach() for name, values in network.named_parameters()}
    weight, bias = initial[f"{layer}.weight"], initial[f"{layer}.bias"]
    bound = 1 / math.sqrt(fan_in)
    assert 0.99 * bound < float(weight.abs().max()) <= bound
    # uniform in [-bound, bound]: mean 0, variance bound ** 2 / 3
    assert float(weight.mean()) == pytest.approx(0, abs=5 * bound / math.sqrt(3 * weight.numel()))
    assert float(weight.var()) == pytest.approx(bound**2 / 3, rel=0.1)
    assert float(bias.abs().max()) <= bound


def test_initial_weights_are_pinned() -> None:
    # Drawn once and written down: if they change, no old result can be reproduced any more.
    weight = parameters(RandomKey((0, "init")))["hidden1.weight"]
    expected = [0.09957188, 0.35697952, 0.11278059]
    assert weight[0, :3].tolist() == pytest.approx(expected, abs=1e-7)
