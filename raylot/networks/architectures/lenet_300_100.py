"""LeNet-300-100."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from raylot.config import NetworkOptions
from raylot.networks.architectures._parts import scaled
from raylot.networks.architectures.mlp import mlp


def make(input_shape: Sequence[int], options: NetworkOptions, classes: int) -> nn.Module:
    """LeNet-300-100 (LeCun et al. 1998), the network of Frankle & Carbin 2019 for MNIST.

    A multilayer perceptron with 300 and 100 hidden units; 266,610 parameters on 28x28 digits. Its
    layers are named ``hidden1``, ``hidden2`` and ``output``.
    """
    hidden = scaled((300, 100), options.width_scale)
    return mlp(input_shape, hidden, classes, options.norm, options.activation)
