"""A multilayer perceptron."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from raylot.config import NetworkOptions
from raylot.networks.architectures._parts import Style


def make(input_shape: Sequence[int], options: NetworkOptions, classes: int) -> nn.Module:
    return mlp(input_shape, options.hidden, classes, options.norm, options.activation)


def mlp(
    input_shape: Sequence[int],
    hidden: Sequence[int],
    classes: int,
    norm: str = "none",
    activation: str = "relu",
) -> nn.Sequential:
    """A multilayer perceptron on flattened inputs.

    Its layers are named ``hidden1``, ``hidden2``, ... and ``output``.

    Args:
        input_shape: of any number of dimensions.
        hidden: units of each hidden layer.
        classes: number of outputs.
        norm, activation: see `raylot.networks.architectures._parts.Style`.
    """
    style = Style(norm, activation)
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    width = math.prod(input_shape)
    for depth, units in enumerate(hidden, start=1):
        layer = nn.Linear(width, units, bias=style.bias)
        layers |= style.hidden(f"hidden{depth}", layer, depth)
        width = units * style.copies
    layers["output"] = nn.Linear(width, classes)
    return nn.Sequential(layers)
