"""Tells networks with hooks of a user's own from all others."""

from __future__ import annotations

from torch import nn


def has_hooks(network: nn.Module) -> bool:
    """Whether a network has hooks of any kind or parametrisations, unknown to special engines."""
    return any(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or nn.utils.parametrize.is_parametrized(module)
        for module in network.modules()
    ) or any(p._backward_hooks for p in network.parameters())
