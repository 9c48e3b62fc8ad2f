"""Architectures, one file each, which is named like the network.

Each file's `make` makes the network from the shape of an input, the options and the number of
classes, with PyTorch's default initialisation. All networks return logits. Every activation is a
module of its own, so that metrics can observe its output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module

from torch import nn

from raylot.config import NetworkOptions
from raylot.foundation.names import BUILT_IN

Architecture = Callable[[Sequence[int], NetworkOptions, int], nn.Module]

NETWORKS: dict[str, Architecture] = {
    name: import_module(f"{__name__}.{name}").make for name in BUILT_IN["network"]
}
