"""Tells networks whose layers follow one another from all others.

Inside other networks, layers may follow one another too. A module that is no ``nn.Sequential``,
built in or of a plugin, says so by a method ``chain()``: it returns the modules of such a run, from
one layer to another, in the order in which they act.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from torch import nn

#: Layers whose weights are ``outputs x inputs x ...``.
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def chained_weights(network: nn.Module, weights: Sequence[str]) -> list[str]:
    """Returns the names of a chain's weights in the order in which they act; empty: it is no chain.

    A chain is made of nested ``nn.Sequential`` (as ``mlp``, ``lenet`` and ``vgg`` are), so that
    each hidden unit, or channel, feeds the next layer alone.

    Args:
        network: any network.
        weights: names of its weights; a chain has no others.
    """
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    modules = list(in_order(network))
    layers = [module for module in modules if isinstance(module, LAYERS)]
    fits = all(
        following.weight.shape[1] % len(layer.weight) == 0
        for layer, following in itertools.pairwise(layers)
    )
    found = [names.get(id(layer.weight), "") for layer in layers]
    is_chain = (
        found == list(weights)
        and fits
        and not any(getattr(layer, "groups", 1) > 1 for layer in layers)
        and not any(True for module in modules for _ in module.children())
    )
    return found if is_chain else []


def in_order(network: nn.Module) -> Iterator[nn.Module]:
    """Yields the modules of nested ``nn.Sequential``, in the order in which they act."""
    if isinstance(network, nn.Sequential) and type(network).forward is nn.Sequential.forward:
        for module in network:
            yield from in_order(module)
    else:
        yield network
