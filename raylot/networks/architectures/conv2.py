"""Conv-2."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from raylot.config import NetworkOptions
from raylot.networks.architectures._stacks import pairs_of_convolutions


def make(input_shape: Sequence[int], options: NetworkOptions, classes: int) -> nn.Module:
    """Conv-2 (Frankle & Carbin 2019): 3x3 convolutions, then 256 and 256 hidden units.

    Two convolutions of 64 channels, then 2x2 max pooling; 4.3 million parameters on CIFAR-10.

    Raises:
        OptionError: the inputs are not images.
    """
    return pairs_of_convolutions("conv2", input_shape, (64,), options, classes)
