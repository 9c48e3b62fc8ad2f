"""Parts that several architectures use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from raylot.config import NetworkOptions
from raylot.foundation.errors import OptionError
from raylot.networks.activations import ACTIVATIONS, copies_of

#: Units of a group and groups of a layer, see `Style.normalisation`.
_IN_A_GROUP, _MOST_GROUPS = 16, 32


@dataclass(frozen=True)
class Style:
    """The norm and the activation between the layers of a network.

    Attributes:
        norm: ``"none"``; ``"batch"`` normalisation; ``"layer"`` normalisation (over all units, and
            in images over all positions, of one example); or ``"group"`` normalisation, the same
            for each group of units by itself. All have a gain and a bias per unit.
        activation: one of `raylot.networks.activations.ACTIVATIONS`.
    """

    norm: str = "none"
    activation: str = "relu"

    @classmethod
    def of(cls, options: NetworkOptions) -> Style:
        return cls(options.norm, options.activation)

    @property
    def bias(self) -> bool:
        """Whether hidden layers have biases; with a norm, the norm has them."""
        return self.norm == "none"

    @property
    def copies(self) -> int:
        """Inputs of the next layer for each unit."""
        return copies_of(self.activated(1))

    def activated(self, units: int) -> nn.Module:
        return ACTIVATIONS[self.activation](units, 1)

    def normalisation(self, layer: nn.Linear | nn.Conv2d) -> nn.Module:
        """Returns what normalises a layer's units.

        Group normalisation (Wu & He 2018) has groups of 16 units, or slightly more where 16 does
        not divide their number, and at most 32 groups: both are numbers of the paper, where they
        do equally well, and agree at 512 channels. With fewer than 32 units there is one group. A
        fixed number of 32 groups would leave small layers groups of a single unit, which is always
        0 where it has one position.
        """
        units = len(layer.weight)
        if self.norm == "batch":
            is_image = isinstance(layer, nn.Conv2d)
            return nn.BatchNorm2d(units) if is_image else nn.BatchNorm1d(units)
        if self.norm == "none":
            return nn.Identity()
        most = min(_MOST_GROUPS, units // _IN_A_GROUP) if self.norm == "group" else 1
        groups = next((n for n in range(most, 1, -1) if units % n == 0), 1)
        return nn.GroupNorm(groups, units)

    def hidden(
        self, name: str, layer: nn.Linear | nn.Conv2d, number: int
    ) -> OrderedDict[str, nn.Module]:
        """Returns a hidden layer, its norm if there is one, and its activation, by their names.

        Args:
            name: the layer's.
            layer: the layer.
            number: part of the other names.
        """
        modules: OrderedDict[str, nn.Module] = OrderedDict({name: layer})
        if self.norm != "none":
            modules[f"norm{number}"] = self.normalisation(layer)
        modules[f"{self.activation}{number}"] = self.activated(len(layer.weight))
        return modules


def image_shape(network: str, input_shape: Sequence[int]) -> tuple[int, int, int]:
    """Returns channels, height and width.

    Raises:
        OptionError: the inputs are not images.
    """
    if len(input_shape) != 3:
        raise OptionError(
            f"network={network}: must be mlp or lenet_300_100 for inputs of shape "
            f"{tuple(input_shape)}; {network} accepts images, (channels, height, width)"
        )
    channels, height, width = input_shape
    return channels, height, width


def scaled(sizes: Sequence[int], scale: float) -> list[int]:
    """Multiplies published numbers of units or channels, and rounds them; none falls below 1."""
    return [max(1, round(size * scale)) for size in sizes]


def halve() -> nn.MaxPool2d:
    """Halves maps, rounding up, so that even a map of 1x1 has a half."""
    return nn.MaxPool2d(2, ceil_mode=True)


def halved(side: int, times: int) -> int:
    """Returns a map's side after `halve`, so many times."""
    return side if times == 0 else halved(-(-side // 2), times - 1)


def conv3x3(inputs: int, outputs: int, style: Style, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=style.bias)


def head(channels: int, classes: int) -> OrderedDict[str, nn.Module]:
    return OrderedDict(
        pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), output=nn.Linear(channels, classes)
    )
