"""Architectures, by name, with PyTorch's default initialisation from a given key."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from torch import nn

from raylot.config import NetworkOptions
from raylot.randomness import RandomKey


def mlp(input_shape: Sequence[int], hidden: Sequence[int], classes: int) -> nn.Sequential:
    """A ReLU multilayer perceptron on flattened inputs.

    Its layers are named ``hidden1``, ``hidden2``, ... and ``output``.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    width = math.prod(input_shape)
    for depth, units in enumerate(hidden, start=1):
        layers[f"hidden{depth}"] = nn.Linear(width, units)
        layers[f"relu{depth}"] = nn.ReLU()
        width = units
    layers["output"] = nn.Linear(width, classes)
    return nn.Sequential(layers)


NETWORKS: dict[str, Callable[[Sequence[int], NetworkOptions, int], nn.Module]] = {
    "mlp": lambda input_shape, options, classes: mlp(input_shape, options.hidden, classes),
}


def build(
    options: NetworkOptions, input_shape: Sequence[int], classes: int, key: RandomKey
) -> nn.Module:
    """A freshly initialised network; the key alone decides its weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key.torch_seed())
        return NETWORKS[options.network](input_shape, options, classes)
