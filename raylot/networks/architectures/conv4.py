"""Conv-4."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from raylot.config import NetworkOptions
from raylot.networks.architectures._stacks import pairs_of_convolutions


def make(input_shape: Sequence[int], options: NetworkOptions, classes: int) -> nn.Module:
    """Conv-4 (Frankle & Carbin 2019): 3x3 convolutions, then 256 and 256 hidden units.

    Two convolutions of 64 channels and two of 128, 2x2 max pooling after each pair; 2.4 million
    parameters on CIFAR-10.

    Raises:
        OptionError: the inputs are not images.
    """
    return pairs_of_convolutions("conv4", input_shape, (64, 128), options, classes)
