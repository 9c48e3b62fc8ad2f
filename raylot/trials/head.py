"""Resets a network's head, its last layer, between the tasks of a stream."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from raylot.foundation.randomness import RandomKey
from raylot.interventions._layers import weight_layers
from raylot.networks.initialisation import reinitialised
from raylot.training import Masks


def reset_head(
    network: nn.Module, how: Literal["fresh", "zero"], key: RandomKey, masks: Masks | None
) -> None:
    """Resets weights and biases of the last layer in place; pruned ones stay where they are.

    Args:
        network: its head is the linear or convolution layer that it registers last.
        how: ``fresh``: drawn as at initialisation; ``zero``: as the continual ImageNet of Dohare et
            al. (2024) does (lop/imagenet/single_expr.py of shibhansh/loss-of-plasticity).
        key: decides the draws.
        masks: survivors by parameter; None: nothing is pruned.

    Raises:
        OptionError: the network cannot be initialised anew.
    """
    name, head = list(weight_layers(network).items())[-1]
    fresh = reinitialised(network, key).get_submodule(name) if how == "fresh" else None
    with torch.no_grad():
        for own, parameter in head.named_parameters():
            value = torch.zeros_like(parameter)
            if fresh is not None:
                value.copy_(fresh.get_parameter(own))
            live = (masks or {}).get(f"{name}.{own}")
            parameter.copy_(value if live is None else torch.where(live, value, parameter))
