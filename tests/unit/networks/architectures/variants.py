"""Small networks, and what is inside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from raylot.config import NetworkOptions
from raylot.foundation.randomness import RandomKey
from raylot.networks import build

paths = st.tuples(st.integers(0, 2**63 - 1), st.text(max_size=5))

#: Networks and norms whose layers, weights and training tests look at one by one.
VARIANTS = [
    ("mlp", "none"), ("mlp", "batch"), ("lenet", "none"), ("lenet", "group"),
    ("vgg", "none"), ("vgg", "batch"), ("vgg", "layer"),
    ("resnet", "none"), ("resnet", "batch"), ("resnet", "layer"),
]  # fmt: skip


def built(
    network: str, input_shape: Sequence[int] = (1, 8, 8), classes: int = 10, seed: int = 0,
    **values: Any,
) -> nn.Module:  # fmt: skip
    options = NetworkOptions.checked(network=network, **values)
    return build(options, input_shape, classes, RandomKey((seed, "init")))


def output_shapes(network: nn.Module, input_shape: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Shape of what each named module puts out for one example, without the batch."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, module in network.named_modules():
        module.register_forward_hook(
            lambda module, args, output, name=name: shapes.update({name: tuple(output.shape[1:])})
        )
    network(torch.zeros(1, *input_shape))
    return shapes


def parameters(key: RandomKey, hidden: tuple[int, ...] = (4, 3)) -> dict[str, Tensor]:
    network = build(NetworkOptions(hidden=hidden), (1, 2, 3), 5, key)
    return {name: weights.detach() for name, weights in network.named_parameters()}
