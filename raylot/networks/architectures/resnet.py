"""A small residual network."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from raylot.config import NetworkOptions
from raylot.networks.architectures._parts import Style
from raylot.networks.architectures._residual import residual_network


def make(input_shape: Sequence[int], options: NetworkOptions, classes: int) -> nn.Module:
    return resnet(input_shape, options.width, classes, options.norm, options.activation)


def resnet(
    input_shape: Sequence[int],
    width: int,
    classes: int,
    norm: str = "none",
    activation: str = "relu",
) -> nn.Sequential:
    """A small residual network (He et al. 2016, as for CIFAR, with one block per stage).

    A 3x3 convolution, then three stages of one basic block each with ``width``, ``2 width`` and
    ``4 width`` channels, the later two with stride 2; then the mean over all positions and a
    linear output. Its layers are named ``conv1``, ``stage1.block1.conv1``,
    ``stage1.block1.conv2``, ``stage2.block1.conv1``, ... and ``output``. Shortcuts that change the
    shape are 1x1 convolutions.

    Args:
        input_shape: ``channels x height x width``, of any size.
        width: channels of the first stage.
        classes: number of outputs.
        norm, activation: see `raylot.networks.architectures._parts.Style`; He et al. have
            ``"batch"`` and ``"relu"``.

    Raises:
        OptionError: the inputs are not images.
    """
    stages = [width, 2 * width, 4 * width]
    return residual_network("resnet", input_shape, stages, 1, classes, Style(norm, activation))
