"""Networks of stacked 3x3 convolutions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from raylot.config import NetworkOptions
from raylot.networks.architectures._parts import (
    Style,
    conv3x3,
    halve,
    halved,
    head,
    image_shape,
    scaled,
)


def stages_of_convolutions(
    network: str,
    input_shape: Sequence[int],
    stages: Sequence[Sequence[int]],
    classes: int,
    style: Style,
) -> nn.Sequential:
    """Returns a VGG: stages of 3x3 convolutions with 2x2 max pooling in between, and a `head`.

    Its layers are named ``stage1.conv1``, ``stage1.conv2``, ... and ``output``.

    Args:
        network: its name in messages.
        input_shape: ``channels x height x width``, of any size.
        stages: the channels of each stage's convolutions.
        classes: number of outputs.
        style: what stands between the layers.

    Raises:
        OptionError: the inputs are not images.
    """
    inputs, _, _ = image_shape(network, input_shape)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, stage in enumerate(stages, start=1):
        if number > 1:
            layers[f"pool{number - 1}"] = halve()
        modules: OrderedDict[str, nn.Module] = OrderedDict()
        for depth, channels in enumerate(stage, start=1):
            modules |= style.hidden(f"conv{depth}", conv3x3(inputs, channels, style), depth)
            inputs = channels * style.copies
        layers[f"stage{number}"] = nn.Sequential(modules)
    return nn.Sequential(layers | head(inputs, classes))


def pairs_of_convolutions(
    network: str,
    input_shape: Sequence[int],
    channels: Sequence[int],
    options: NetworkOptions,
    classes: int,
) -> nn.Sequential:
    """Returns Conv-2, Conv-4 or Conv-6, the small VGGs of Frankle & Carbin 2019.

    Two 3x3 convolutions for each of ``channels``, each pair followed by 2x2 max pooling, then two
    hidden layers of 256 units. Its layers are named ``conv1``, ``conv2``, ..., ``hidden1``,
    ``hidden2`` and ``output``.

    Args:
        network: its name in messages.
        input_shape: ``channels x height x width``, of any size.
        channels: of each pair, as published.
        options: its norm, activation and scale.
        classes: number of outputs.

    Raises:
        OptionError: the inputs are not images.
    """
    inputs, height, width = image_shape(network, input_shape)
    style = Style.of(options)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    number = 0
    for pair, outputs in enumerate(scaled(channels, options.width_scale), start=1):
        for _ in range(2):
            number += 1
            layers |= style.hidden(f"conv{number}", conv3x3(inputs, outputs, style), number)
            inputs = outputs * style.copies
        layers[f"pool{pair}"] = halve()
    layers["flatten"] = nn.Flatten()
    inputs *= halved(height, len(channels)) * halved(width, len(channels))
    for depth, units in enumerate(scaled((256, 256), options.width_scale), start=1):
        layer = nn.Linear(inputs, units, bias=style.bias)
        layers |= style.hidden(f"hidden{depth}", layer, number + depth)
        inputs = units * style.copies
    layers["output"] = nn.Linear(inputs, classes)
    return nn.Sequential(layers)
