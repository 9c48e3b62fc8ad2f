"""ResNet-20 for small images."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from raylot.config import NetworkOptions
from raylot.networks.architectures._parts import Style, scaled
from raylot.networks.architectures._residual import residual_network


def make(input_shape: Sequence[int], options: NetworkOptions, classes: int) -> nn.Module:
    """ResNet-20, the smallest that He et al. 2016 trained on CIFAR-10.

    Three stages of three basic blocks each, with 16, 32 and 64 channels. Shortcuts that change the
    shape have no parameters: they take every other position, and add channels of 0. He et al. have
    ``norm="batch"``; so it has 0.27 million parameters. Names are those of
    `raylot.networks.architectures.resnet`.

    Raises:
        OptionError: the inputs are not images.
    """
    stages = scaled((16, 32, 64), options.width_scale)
    style = Style.of(options)
    return residual_network("resnet20", input_shape, stages, 3, classes, style, pads=True)
