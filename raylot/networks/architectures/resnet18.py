"""ResNet-18 for small images."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from raylot.config import NetworkOptions
from raylot.networks.architectures._parts import Style, scaled
from raylot.networks.architectures._residual import residual_network


def make(input_shape: Sequence[int], options: NetworkOptions, classes: int) -> nn.Module:
    """ResNet-18 (He et al. 2016) with the stem that is customary for CIFAR.

    Four stages of two basic blocks each, with 64, 128, 256 and 512 channels. A 3x3 convolution
    with stride 1 comes first, in place of one of 7x7 with stride 2 and of max pooling. Shortcuts
    that change the shape are 1x1 convolutions. He et al. have ``norm="batch"``; so it has 11.17
    million parameters. Names are those of `raylot.networks.architectures.resnet`.

    Raises:
        OptionError: the inputs are not images.
    """
    stages = scaled((64, 128, 256, 512), options.width_scale)
    return residual_network("resnet18", input_shape, stages, 2, classes, Style.of(options))
