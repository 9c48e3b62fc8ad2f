"""The layers whose weights a method constrains."""

from __future__ import annotations

from torch import nn

from raylot.networks.prunable import prunable_weights

#: Normalisations of what a layer puts out.
NORMS = (
    nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d,
    nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d,
)  # fmt: skip


def plain_layers(network: nn.Module) -> list[nn.Module]:
    """Returns the linear and convolution layers with a trainable ``weight``, as registered.

    A layer that shares its weight with one before it is left out.
    """
    return [network.get_submodule(name.rpartition(".")[0]) for name in prunable_weights(network)]
