"""VGG-16."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from raylot.config import NetworkOptions
from raylot.networks.architectures._parts import Style, scaled
from raylot.networks.architectures._stacks import stages_of_convolutions

_STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def make(input_shape: Sequence[int], options: NetworkOptions, classes: int) -> nn.Module:
    """VGG-16 (Simonyan & Zisserman 2015, D) as lottery-ticket studies have it for CIFAR.

    Thirteen 3x3 convolutions; the rest is as in `raylot.networks.architectures.vgg11`. 14.7
    million parameters.

    Raises:
        OptionError: the inputs are not images.
    """
    stages = [scaled(stage, options.width_scale) for stage in _STAGES]
    return stages_of_convolutions("vgg16", input_shape, stages, classes, Style.of(options))
