"""The layers of a network that methods change or constrain as a whole."""

from __future__ import annotations

from torch import Tensor, nn

from raylot.networks.chain import OUTPUTS_FIRST

#: Normalisations of what a layer puts out.
NORMS = (
    nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d,
    nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d,
)  # fmt: skip


def weight_layers(network: nn.Module) -> dict[str, nn.Module]:
    """Returns the linear and convolution layers with a trainable weight, by name.

    They come in the order in which the network registers them. A weight that several layers share
    counts once; one that is computed from other parameters does not count.
    """
    layers: dict[int, tuple[str, nn.Module]] = {}
    for name, module in network.named_modules():
        if isinstance(module, OUTPUTS_FIRST):
            weight = module._parameters.get("weight")
            if weight is not None and weight.requires_grad:
                layers.setdefault(id(weight), (name, module))
    return dict(layers.values())


def by_kernel_position(weight: Tensor) -> Tensor:
    """Returns a layer's weight as ``units x inputs x places`` of its kernel (1 if linear)."""
    return weight.reshape(*weight.shape[:2], -1)
