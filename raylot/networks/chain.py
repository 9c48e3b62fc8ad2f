"""Tells networks whose layers follow one another from all others.

A module that is no ``nn.Sequential``, built in or of a plugin, may hold a run of modules that
follow one another all the same: a residual block its first convolution, norm and activation and its
second convolution; a transformer block the two layers of its perceptron with the activation in
between. Its method ``chain()`` returns the list of exactly these modules, in the order in which
they act, so that each hidden unit of one layer in the list feeds the next one alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from torch import nn

from raylot.networks.activations import copies_of

#: Layers whose weights are ``outputs x inputs x ...``.
OUTPUTS_FIRST = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def chained_weights(network: nn.Module, weights: Sequence[str]) -> list[str]:
    """Returns the names of a chain's weights in the order in which they act; empty: it is no chain.

    A chain is made of nested ``nn.Sequential`` (as ``mlp``, ``lenet`` and ``vgg`` are), so that
    each hidden unit, or channel, feeds the next layer alone. A norm over groups of units makes it
    none, as units of different groups cannot swap their places; nor do activations with several
    numbers per unit (CReLU, Fourier), as a unit's inputs to the next layer lie apart there.

    Args:
        network: any network.
        weights: names of its weights; a chain has no others.
    """
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    modules = list(in_order(network))
    layers = [module for module in modules if isinstance(module, OUTPUTS_FIRST)]
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
        and not any(getattr(module, "num_groups", 1) > 1 for module in modules)
        and not any(copies_of(module) > 1 for module in modules)
    )
    return found if is_chain else []


def in_order(network: nn.Module) -> Iterator[nn.Module]:
    """Yields the modules of nested ``nn.Sequential``, in the order in which they act."""
    if isinstance(network, nn.Sequential) and type(network).forward is nn.Sequential.forward:
        for module in network:
            yield from in_order(module)
    else:
        yield network


def flattens_examples(module: nn.Module) -> bool:
    """Whether a module makes one vector of each example."""
    return type(module) is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1)
