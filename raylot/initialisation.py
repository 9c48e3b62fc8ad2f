"""Fresh initial weights for a module of any kind."""

from __future__ import annotations

import copy

import torch
from torch import nn

from raylot.randomness import RandomKey


def reinitialised(network: nn.Module, key: RandomKey) -> nn.Module:
    """A copy of a network with newly drawn initial weights; the key alone decides them.

    Raises:
        ValueError: see `reinitialise`.
    """
    fresh = copy.deepcopy(network)
    reinitialise(fresh, key)
    return fresh


def reinitialise(network: nn.Module, key: RandomKey) -> None:
    """Draws new initial weights in place; buffers, as of batch norm, start anew too.

    They are drawn on the CPU, so that they are the same for a network on any device. A module
    that resets its parts in its own way has the last word over them.

    Raises:
        ValueError: a module has weights of its own but no ``reset_parameters``, as most of
            PyTorch's layers do; the network is then unchanged.
    """
    for name, module in network.named_modules():
        owns_weights = next(module.parameters(recurse=False), None) is not None
        if owns_weights and not callable(getattr(module, "reset_parameters", None)):
            raise ValueError(
                f"network: {name or type(module).__name__} has weights but no "
                "reset_parameters(), so it cannot be initialised anew"
            )
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    network.cpu()
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also seed the generators of every GPU.
        torch.default_generator.manual_seed(key.torch_seed())
        network.apply(_reset)
    network.to(device)


def _reset(module: nn.Module) -> None:
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()
