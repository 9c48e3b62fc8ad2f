"""Fresh initial weights for a module of any kind."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from raylot.foundation.errors import OptionError
from raylot.foundation.names import module_label
from raylot.foundation.randomness import RandomKey
from raylot.networks.copies import copied
from raylot.networks.prunable import LAYERS, owns_weight

#: Attribute of a network and its copies: the function that builds it from a key.
_BUILD = "raylot_build"


@torch.no_grad()
def _signed_constant(weight: Tensor) -> None:
    nn.init.normal_(weight).sign_().mul_(math.sqrt(2 / weight[0].numel()))


#: Option ``initialisation`` -> draws a weight in place. Kaiming's gain is that of ReLU, sqrt(2), in
#: the output layer too (He et al. 2015); the others' is 1 (Glorot & Bengio 2010; Saxe et al. 2014).
#: A signed constant is Kaiming's standard deviation with a random sign (Ramanujan et al. 2020).
INITIALISATIONS: dict[str, Callable[[Tensor], object]] = {
    "kaiming_uniform": functools.partial(nn.init.kaiming_uniform_, nonlinearity="relu"),
    "kaiming_normal": functools.partial(nn.init.kaiming_normal_, nonlinearity="relu"),
    "glorot_uniform": nn.init.xavier_uniform_,
    "glorot_normal": nn.init.xavier_normal_,
    "orthogonal": nn.init.orthogonal_,
    "signed_constant": _signed_constant,
}


def initialise(network: nn.Module, initialisation: str) -> None:
    """Draws the weights of linear and convolution layers in place, and sets their biases to 0.

    All else that a network learns, as the gains of norms, stays as it was made.

    Args:
        network: on the CPU, as its maker left it.
        initialisation: one of `INITIALISATIONS`; or ``pytorch``, which changes nothing.

    Raises:
        OptionError: the network has no such layer, or computes their weights from other parameters.
    """
    if initialisation == "pytorch":
        return
    draw = INITIALISATIONS[initialisation]
    layers = [m for m in network.modules() if isinstance(m, LAYERS) and owns_weight(m)]
    if not layers:
        raise OptionError(
            f"initialisation={initialisation}: must be pytorch with this network, which has no "
            "linear or convolution layers with weights of their own"
        )
    for layer in layers:
        draw(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def remember_build(network: nn.Module, build: Callable[[RandomKey], nn.Module]) -> None:
    """Makes `reinitialised` build this network again instead of resetting a copy."""
    setattr(network, _BUILD, build)


def reinitialised(network: nn.Module, key: RandomKey) -> nn.Module:
    """Returns a network like this one with newly drawn weights; the key alone decides them.

    A network with `remember_build` is built again. Any other network is copied, and each module of
    the copy draws its weights with ``reset_parameters`` or ``_reset_parameters``, which PyTorch's
    layers have. Children reset before their parents, so a module can reset its children in its own
    way. Buffers, as of batch norm, start anew too. Frozen weights without such a method keep their
    values.

    Weights are drawn on the CPU, so that they are the same on any device.

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
    """Returns why a network cannot be initialised anew, for the end of a sentence; None if it can.

    It cannot if a trainable weight has no ``reset_parameters``, or that leaves it as it was.
    """
    if hasattr(network, _BUILD):
        return None
    return _redraw(copied(network).cpu(), RandomKey(("trial",)))


def _redraw(network: nn.Module, key: RandomKey) -> str | None:
    """Draws new weights in place; returns which module cannot, and why."""
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
            where = module_label(module, network.get_submodule(module))
            return f"{where} has no reset_parameters() that draws its {own} anew"
    return None


def _reset(module: nn.Module) -> None:
    for name in ("reset_parameters", "_reset_parameters"):
        reset = getattr(module, name, None)
        if callable(reset):
            reset()
            return
