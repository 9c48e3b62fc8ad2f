"""Resets a network's head, its last layer, between the tasks of a stream."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.networks.initialisation import reinitialised
from raylot.networks.layers import weight_layers
from raylot.training import Masks


def head_of(network: nn.Module) -> tuple[str, nn.Module]:
    """Returns name and module of the linear or convolution layer that a network registers last.

    Raises:
        OptionError: it has no such layer with a trainable weight of its own.
    """
    layers = list(weight_layers(network).items())
    if not layers:
        raise OptionError(
            "head_reset: must be none with this network, which has no linear or convolution layer "
            "with a trainable weight of its own"
        )
    return layers[-1]


def reset_head(
    network: nn.Module, how: Literal["fresh", "zero"], key: RandomKey, masks: Masks | None
) -> None:
    """Resets weights and biases of the last layer in place; pruned ones stay where they are.

    Args:
        network: `head_of` it is reset.
        how: ``fresh``: drawn as at initialisation; ``zero``: as the continual ImageNet of Dohare et
            al. (2024) does (lop/imagenet/single_expr.py of shibhansh/loss-of-plasticity).
        key: decides the draws.
        masks: survivors by parameter; None: nothing is pruned.

    Raises:
        OptionError: there is no such layer, or the network cannot be initialised anew.
    """
    name, head = head_of(network)
    fresh = reinitialised(network, key).get_submodule(name) if how == "fresh" else None
    with torch.no_grad():
        for own, parameter in head.named_parameters():
            value = torch.zeros_like(parameter)
            if fresh is not None:
                value.copy_(fresh.get_parameter(own))
            live = (masks or {}).get(f"{name}.{own}")
            parameter.copy_(value if live is None else torch.where(live, value, parameter))
