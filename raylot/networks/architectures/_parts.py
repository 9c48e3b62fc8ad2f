"""Parts that several architectures use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from torch import nn

from raylot.foundation.errors import OptionError

#: Normalisation layers for a number of channels, by their name in `NetworkOptions`.
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda channels: nn.Identity(),
    "batch": nn.BatchNorm2d,
    "layer": lambda channels: nn.GroupNorm(1, channels),
}


def image_shape(network: str, input_shape: Sequence[int]) -> tuple[int, int, int]:
    """Returns channels, height and width.

    Raises:
        OptionError: the inputs are not images.
    """
    if len(input_shape) != 3:
        raise OptionError(
            f"network={network}: must be mlp for inputs of shape {tuple(input_shape)}; "
            f"{network} accepts images, (channels, height, width)"
        )
    channels, height, width = input_shape
    return channels, height, width


def halve() -> nn.MaxPool2d:
    """Halves maps, rounding up, so that even a map of 1x1 has a half."""
    return nn.MaxPool2d(2, ceil_mode=True)


def conv3x3(inputs: int, outputs: int, norm: str, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=norm == "none")


def head(channels: int, classes: int) -> OrderedDict[str, nn.Module]:
    return OrderedDict(
        pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), output=nn.Linear(channels, classes)
    )
