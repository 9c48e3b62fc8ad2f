"""A multilayer perceptron."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from raylot.config import NetworkOptions


def make(input_shape: Sequence[int], options: NetworkOptions, classes: int) -> nn.Module:
    return mlp(input_shape, options.hidden, classes)


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
