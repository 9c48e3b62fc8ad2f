"""How images lie in memory while convolutions of a CPU look at them.

oneDNN, which computes convolutions on CPUs, is faster where the channels of a pixel lie side by
side (channels last), and so are pooling and norms. Layers pass the layout of their inputs on, so
only a network's inputs are laid out anew; oneDNN itself orders weights, in next to no time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from raylot.networks.hooked import has_hooks

#: Modules of these packages accept any layout. One of a user's own may call ``view``, which
#: refuses channels last.
_OF_ANY_LAYOUT = ("torch.", "raylot.")


def has_convolutions_on_cpu(network: nn.Module) -> bool:
    """Whether a network convolves images on the CPU."""
    return any(
        isinstance(module, nn.Conv2d) and module.weight.device.type == "cpu"
        for module in network.modules()
    )


def takes_channels_last(network: nn.Module, method: object | None = None) -> bool:
    """Whether a network is faster with its inputs in channels-last format, and never fails on it.

    Args:
        network: any network.
        method: the intervention that acts on its training, and sees inputs and activations.
    """
    return (
        has_convolutions_on_cpu(network)
        and torch.backends.mkldnn.is_available()
        and not has_hooks(network)
        and all(_is_of_any_layout(module) for module in network.modules())
        and (method is None or _is_of_any_layout(method))
    )


def channels_last(images: Tensor) -> Tensor:
    """Lays images out with their channels last: ``examples x channels x height x width``."""
    if images.dim() != 4:
        return images
    _, channels, height, width = images.shape
    strides = channels * height * width, 1, width * channels, channels
    # With one channel both layouts are the same memory: only the strides tell layers which to use.
    return images.contiguous(memory_format=torch.channels_last).as_strided(images.shape, strides)


def _is_of_any_layout(part: object) -> bool:
    return type(part).__module__.startswith(_OF_ANY_LAYOUT)
