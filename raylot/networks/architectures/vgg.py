"""A small VGG."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from raylot.config import NetworkOptions
from raylot.networks.architectures._parts import NORMS, conv3x3, halve, head, image_shape


def make(input_shape: Sequence[int], options: NetworkOptions, classes: int) -> nn.Module:
    return vgg(input_shape, options.width, classes, options.norm)


def vgg(input_shape: Sequence[int], width: int, classes: int, norm: str = "none") -> nn.Sequential:
    """A small VGG (Simonyan & Zisserman 2015): stacks of 3x3 convolutions.

    Three stages of two convolutions each, with ``width``, ``2 width`` and ``4 width`` channels and
    2x2 max pooling in between; then the mean over all positions and a linear output. Its layers
    are named ``stage1.conv1``, ``stage1.conv2``, ``stage2.conv1``, ... and ``output``.

    Args:
        input_shape: ``channels x height x width``, of any size.
        width: channels of the first stage.
        classes: number of outputs.
        norm: after each convolution, before its ReLU: ``"none"``, ``"batch"`` normalisation, or
            ``"layer"`` normalisation (over channels and positions; a gain and bias per channel).
            Convolutions have biases only with ``"none"``; elsewhere the norm has them.

    Raises:
        OptionError: the inputs are not images.
    """
    channels, _, _ = image_shape("vgg", input_shape)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for stage in (1, 2, 3):
        outputs = width * 2 ** (stage - 1)
        if stage > 1:
            layers[f"pool{stage - 1}"] = halve()
        layers[f"stage{stage}"] = nn.Sequential(
            OrderedDict(
                conv1=conv3x3(channels, outputs, norm),
                norm1=NORMS[norm](outputs),
                relu1=nn.ReLU(),
                conv2=conv3x3(outputs, outputs, norm),
                norm2=NORMS[norm](outputs),
                relu2=nn.ReLU(),
            )
        )
        channels = outputs
    return nn.Sequential(layers | head(channels, classes))
