"""Fresh initial weights for a module of any kind."""

from __future__ import annotations

import copy

import torch
from torch import nn

from raylot.randomness import RandomKey


def reinitialised(network: nn.Module, key: RandomKey) -> nn.Module:
    """A copy of a network with newly drawn initial weights; the key alone decides them.

    Raises:
        ValueError: a module has weights of its own but no ``reset_parameters``, as all of
            PyTorch's layers do.
    """
    fresh = copy.deepcopy(network)
    reinitialise(fresh, key)
    return fresh


def reinitialise(network: nn.Module, key: RandomKey) -> None:
    """Draws new initial weights in place; buffers, as of batch norm, start anew too.

    Raises:
        ValueError: see `reinitialised`.
    """
    with torch.random.fork_rng(devices=_gpus(network)):
        torch.manual_seed(key.torch_seed())
        for name, module in network.named_modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
            elif next(module.parameters(recurse=False), None) is not None:
                raise ValueError(
                    f"network: {name or type(module).__name__} has weights but no "
                    "reset_parameters(), so it cannot be initialised anew"
                )


def _gpus(network: nn.Module) -> list[torch.device]:
    return list({p.device for p in network.parameters() if p.device.type == "cuda"})
