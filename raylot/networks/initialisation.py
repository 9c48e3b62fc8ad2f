"""Fresh initial weights for a module of any kind."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from raylot.foundation.errors import OptionError
from raylot.foundation.names import of_module
from raylot.foundation.randomness import RandomKey
from raylot.networks.copies import copied

#: Attribute of a network: the function that built it, of a key. Copies of the network have it too.
_BUILD = "raylot_build"


def remember_build(network: nn.Module, build: Callable[[RandomKey], nn.Module]) -> None:
    """Lets `reinitialised` build a network like this one again, instead of resetting a copy."""
    setattr(network, _BUILD, build)


def reinitialised(network: nn.Module, key: RandomKey) -> nn.Module:
    """A network like this one with newly drawn initial weights; the key alone decides them.

    A network with `remember_build` is built again. Any other is copied, and each module of the copy
    draws its weights with its own ``reset_parameters`` or ``_reset_parameters``, as PyTorch's
    layers have it. Parts go first, so a module that resets its parts in its own way has the last
    word. Buffers, as of batch norm, start anew too. Frozen weights may lack such a method, and
    then keep their values.

    Weights are drawn on the CPU, so that they are the same for a network on any device.

    Raises:
        OptionError: see `why_not_reinitialised`.
    """
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    build: Callable[[RandomKey], nn.Module] | None = getattr(network, _BUILD, None)
    if build is not None:
        fresh = build(key)
        remember_build(fresh, build)
        return fresh.to(device)
    fresh = copied(network).cpu()
    if reason := _redraw(fresh, key):
        raise OptionError(f"network: cannot be initialised anew, as {reason}")
    return fresh.to(device)


def why_not_reinitialised(network: nn.Module) -> str | None:
    """Why a network cannot be initialised anew, for the end of a sentence; None if it can.

    It cannot if ``reset_parameters`` leaves a trainable weight as it was, or is not there.
    """
    if hasattr(network, _BUILD):
        return None
    return _redraw(copied(network).cpu(), RandomKey(("trial",)))


def _redraw(network: nn.Module, key: RandomKey) -> str | None:
    """Draws new weights in place; returns which module cannot, and what it lacks."""
    trainable = {name: p for name, p in network.named_parameters() if p.requires_grad}
    for parameter in trainable.values():
        parameter.detach().fill_(math.nan)  # shows which weights were not drawn
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also seed the generators of every GPU.
        torch.default_generator.manual_seed(key.torch_seed())
        network.apply(_reset)
    for name, parameter in trainable.items():
        if parameter.isnan().any():
            module, _, own = name.rpartition(".")
            where = of_module(module, network.get_submodule(module))
            return f"{where} has no reset_parameters() that draws its {own} anew"
    return None


def _reset(module: nn.Module) -> None:
    for name in ("reset_parameters", "_reset_parameters"):
        reset = getattr(module, name, None)
        if callable(reset):
            reset()
            return
