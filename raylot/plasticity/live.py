"""Tells which parameters of a masked network are live."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from raylot.training import Masks


def live_vector(parameters: Mapping[str, Tensor], masks: Masks) -> Tensor:
    """Returns 1 for surviving weights and parameters without a mask, 0 for pruned weights.

    Returns:
        One vector for all parameters in order, of their type and on their device.
    """
    return torch.cat(
        [
            (masks[name].to(p) if name in masks else torch.ones_like(p)).flatten()
            for name, p in parameters.items()
        ]
    ).detach()
