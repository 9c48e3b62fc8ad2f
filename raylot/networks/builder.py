"""Builds the network that options name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from raylot.config import NetworkOptions
from raylot.foundation import registry
from raylot.foundation.randomness import RandomKey
from raylot.networks.architectures import NETWORKS, Architecture
from raylot.networks.initialisation import initialise, remember_build
from raylot.networks.prunable import Prunable


def build(
    options: NetworkOptions,
    input_shape: Sequence[int],
    classes: int,
    key: RandomKey,
    prepare: Callable[[nn.Module], None] | None = None,
) -> nn.Module:
    """Builds a freshly initialised network; the key alone decides its weights.

    Args:
        options: which network, and its parameters.
        input_shape, classes: of the task.
        key: decides its weights.
        prepare: changes the network, and each that is built like it, without touching weights.

    Raises:
        OptionError: the network does not take inputs of that shape.
        TypeError: a plugin's network is not a module.
    """
    make: Architecture = (
        NETWORKS.get(options.network) or registry.get("network", options.network).function
    )

    def built(key: RandomKey) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(key.torch_seed())
            network = make(input_shape, options, classes)
            registry.check_returned("network", options.network, network, nn.Module)
            initialise(network, options.initialisation)
        if prepare is not None:
            prepare(network)
        return network

    network = built(key)
    remember_build(network, built)
    return network


def prunable(options: NetworkOptions) -> Prunable:
    """Returns a plugin network's choice of weights to prune; see `raylot.networks.prunable`."""
    added: registry.AddedNetwork | None = registry.find("network", options.network)
    return None if added is None else added.prune
