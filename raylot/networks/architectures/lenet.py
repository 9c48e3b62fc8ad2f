"""LeNet-5."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from raylot.config import NetworkOptions
from raylot.networks.architectures._parts import halve, image_shape


def make(input_shape: Sequence[int], options: NetworkOptions, classes: int) -> nn.Module:
    return lenet(input_shape, classes)


def lenet(input_shape: Sequence[int], classes: int) -> nn.Sequential:
    """LeNet-5 (LeCun et al. 1998) with ReLU and max pooling, as is customary today.

    Two convolutions of 5x5 with 6 and 16 channels, each followed by 2x2 max pooling, then 120 and
    84 hidden units. Its layers are named ``conv1``, ``conv2``, ``hidden1``, ``hidden2``,
    ``output``.

    The first convolution keeps the image's size, as LeNet-5 did with 28x28 digits in a frame of
    32x32. The second one is unpadded, as in LeNet-5, unless a side of the image is below 12: then
    it keeps the size too.

    Args:
        input_shape: ``channels x height x width``, of any size.
        classes: number of outputs.

    Raises:
        OptionError: the inputs are not images.
    """
    channels, height, width = image_shape("lenet", input_shape)
    padding = 2 if min(height, width) < 12 else 0
    last_height, last_width = (
        math.ceil((math.ceil(side / 2) + 2 * padding - 4) / 2) for side in (height, width)
    )
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 6, 5, padding=2),
            relu1=nn.ReLU(),
            pool1=halve(),
            conv2=nn.Conv2d(6, 16, 5, padding=padding),
            relu2=nn.ReLU(),
            pool2=halve(),
            flatten=nn.Flatten(),
            hidden1=nn.Linear(16 * last_height * last_width, 120),
            relu3=nn.ReLU(),
            hidden2=nn.Linear(120, 84),
            relu4=nn.ReLU(),
            output=nn.Linear(84, classes),
        )
    )
