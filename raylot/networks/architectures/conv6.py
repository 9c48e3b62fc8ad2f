"""Conv-6."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from raylot.config import NetworkOptions
from raylot.networks.architectures._stacks import pairs_of_convolutions


def make(input_shape: Sequence[int], options: NetworkOptions, classes: int) -> nn.Module:
    """Conv-6 (Frankle & Carbin 2019): 3x3 convolutions, then 256 and 256 hidden units.

    Two convolutions of 64 channels, two of 128 and two of 256, 2x2 max pooling after each pair.
    These layers have 2,261,184 weights on CIFAR-10, of which 1.1 million are convolutions'; the
    paper's table gives the same layers, the same 1.1 million, but 1.7 million in all.

    Raises:
        OptionError: the inputs are not images.
    """
    return pairs_of_convolutions("conv6", input_shape, (64, 128, 256), options, classes)
