"""An MLP by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from raylot.networks import mlp


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
