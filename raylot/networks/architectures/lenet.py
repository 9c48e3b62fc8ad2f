"""LeNet-5."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from raylot.config import NetworkOptions
from raylot.networks.architectures._parts import Style, halve, image_shape


def make(input_shape: Sequence[int], options: NetworkOptions, classes: int) -> nn.Module:
    return lenet(input_shape, classes, options.norm, options.activation)


def lenet(
    input_shape: Sequence[int], classes: int, norm: str = "none", activation: str = "relu"
) -> nn.Sequential:
    """LeNet-5 (LeCun et al. 1998) with max pooling and, by default, ReLU, as is customary today.

    Two convolutions of 5x5 with 6 and 16 channels, each followed by 2x2 max pooling, then 120 and
    84 hidden units. Its layers are named ``conv1``, ``conv2``, ``hidden1``, ``hidden2``,
    ``output``.

    The first convolution keeps the image's size, as LeNet-5 did with 28x28 digits in a frame of
    32x32. The second one is unpadded, as in LeNet-5, unless a side of the image is below 12: then
    it keeps the size too.

    Args:
        input_shape: ``channels x height x width``, of any size.
        classes: number of outputs.
        norm, activation: see `raylot.networks.architectures._parts.Style`.

    Raises:
        OptionError: the inputs are not images.
    """
    channels, height, width = image_shape("lenet", input_shape)
    style = Style(norm, activation)
    padding = 2 if min(height, width) < 12 else 0
    last_height, last_width = (
        math.ceil((math.ceil(side / 2) + 2 * padding - 4) / 2) for side in (height, width)
    )
    inputs = 16 * last_height * last_width
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers |= style.hidden("conv1", nn.Conv2d(channels, 6, 5, padding=2, bias=style.bias), 1)
    layers["pool1"] = halve()
    conv2 = nn.Conv2d(6 * style.copies, 16, 5, padding=padding, bias=style.bias)
    layers |= style.hidden("conv2", conv2, 2)
    layers["pool2"] = halve()
    layers["flatten"] = nn.Flatten()
    layers |= style.hidden("hidden1", nn.Linear(inputs * style.copies, 120, bias=style.bias), 3)
    layers |= style.hidden("hidden2", nn.Linear(120 * style.copies, 84, bias=style.bias), 4)
    layers["output"] = nn.Linear(84 * style.copies, classes)
    return nn.Sequential(layers)
