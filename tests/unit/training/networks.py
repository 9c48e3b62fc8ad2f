"""Multilayer perceptrons of any sizes, masks for networks, and bits of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from raylot import networks
from raylot.networks.prunable import prunable_weights
from raylot.training import Masks


def mlp(pixels: int, *widths: int, seed: int = 0) -> nn.Module:
    """A ReLU network with hidden layers of these widths, the last number being its classes."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return networks.mlp((pixels,), widths[:-1], widths[-1])


def with_batch_norm() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def random_masks(network: nn.Module, densities: float | Sequence[float], seed: int = 0) -> Masks:
    """Each weight survives with its layer's probability; one number serves all layers."""
    # not the seed of the weights themselves, or all negative ones would survive
    generator = torch.Generator().manual_seed(seed + 1_000_000)
    weights = prunable_weights(network)
    each = [densities] * len(weights) if isinstance(densities, float) else densities
    return {
        name: torch.rand(weight.shape, generator=generator) < density
        for (name, weight), density in zip(weights.items(), each, strict=True)
    }


def vector(network: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def bits(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().view(torch.int32)


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """Copies of the prunable weights."""
    return {name: weight.detach().clone() for name, weight in prunable_weights(network).items()}


def assert_pruned_stay(
    network: nn.Module, before: Mapping[str, Tensor], masks: Masks, masked: str
) -> None:
    """Each pruned weight is bit for bit 0 (``"zero"``), or its value before (``"freeze"``)."""
    for name, weight in weights_of(network).items():
        fixed = torch.zeros_like(weight) if masked == "zero" else before[name]
        assert torch.equal(bits(weight)[~masks[name]], bits(fixed)[~masks[name]])
