"""A small VGG."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from raylot.config import NetworkOptions
from raylot.networks.architectures._parts import Style
from raylot.networks.architectures._stacks import stages_of_convolutions


def make(input_shape: Sequence[int], options: NetworkOptions, classes: int) -> nn.Module:
    return vgg(input_shape, options.width, classes, options.norm, options.activation)


def vgg(
    input_shape: Sequence[int],
    width: int,
    classes: int,
    norm: str = "none",
    activation: str = "relu",
) -> nn.Sequential:
    """A small VGG (Simonyan & Zisserman 2015): stacks of 3x3 convolutions.

    Three stages of two convolutions each, with ``width``, ``2 width`` and ``4 width`` channels and
    2x2 max pooling in between; then the mean over all positions and a linear output. Its layers
    are named ``stage1.conv1``, ``stage1.conv2``, ``stage2.conv1``, ... and ``output``.

    Args:
        input_shape: ``channels x height x width``, of any size.
        width: channels of the first stage.
        classes: number of outputs.
        norm, activation: see `raylot.networks.architectures._parts.Style`.

    Raises:
        OptionError: the inputs are not images.
    """
    stages = [(width * factor,) * 2 for factor in (1, 2, 4)]
    return stages_of_convolutions("vgg", input_shape, stages, classes, Style(norm, activation))
