"""VGG-11."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from raylot.config import NetworkOptions
from raylot.networks.architectures._parts import Style, scaled
from raylot.networks.architectures._stacks import stages_of_convolutions

_STAGES = ((64,), (128,), (256, 256), (512, 512), (512, 512))


def make(input_shape: Sequence[int], options: NetworkOptions, classes: int) -> nn.Module:
    """VGG-11 (Simonyan & Zisserman 2015, A) as lottery-ticket studies have it for CIFAR.

    Eight 3x3 convolutions, 2x2 max pooling after the stages of 64, 128, 256 and 512 channels, then
    the mean over all positions and one linear layer, where the paper has three. Studies train it
    with ``norm="batch"``. Its layers are named ``stage1.conv1``, ``stage2.conv1``, ... and
    ``output``.

    Raises:
        OptionError: the inputs are not images.
    """
    stages = [scaled(stage, options.width_scale) for stage in _STAGES]
    return stages_of_convolutions("vgg11", input_shape, stages, classes, Style.of(options))
