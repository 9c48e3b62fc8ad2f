"""Architectures, their initialisation, and which of their weights can be pruned."""

from raylot.networks.architectures import (
    NETWORKS,
    NORMS,
    build,
    lenet,
    mlp,
    prunable,
    resnet,
    vgg,
    with_state,
)

__all__ = ["NETWORKS", "NORMS", "build", "lenet", "mlp", "prunable", "resnet", "vgg", "with_state"]
