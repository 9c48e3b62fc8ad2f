"""Spectral regularisation: each layer's largest singular value stays near 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raylot.config import InterventionOptions
from raylot.networks.layers import NORMS, weight_layers
from raylot.networks.prunable import prunable_weights
from raylot.training import Intervention, Training

#: Power iterations at the start of a training; each step takes one more.
_FIRST_ITERATIONS = 10


class Spectral(Intervention):
    """Adds strength x (sum over layers of (sigma^k - 1)^2 + |bias|^2k) to the loss.

    sigma is the largest singular value of a linear or convolution layer's weight, as a matrix with
    a row per output unit or channel (Lewandowski et al. 2025). A norm counts as a layer with a
    diagonal matrix, and each of its gains g adds (g^k - 1)^2.

    As in the paper, one power iteration per step follows the singular vectors. A training starts
    them from draws of its key and takes ten at once, so that a snapshot trains alike in a stream,
    in a ticket search and on probe tasks, and there is no state to keep.

    In a masked network sigma is that of the matrix with which the network computes, pruned weights
    included.
    """

    def __init__(self, options: InterventionOptions) -> None:
        self._strength, self._power = options.spectral_strength, options.spectral_exponent
        self._weights: list[Tensor] = []
        self._vectors: list[Tensor] = []
        self._gains: list[Tensor] = []
        self._biases: list[Tensor] = []

    def loss_term(self, training: Training) -> Tensor:
        if training.step == 0:
            self._begin(training)
        terms = []
        for index, weight in enumerate(self._weights):
            left, right = _iterated(weight, self._vectors[index])
            self._vectors[index] = left
            sigma = left @ (weight.flatten(1) @ right)
            terms.append((sigma**self._power - 1).square())
        terms += [(gain**self._power - 1).square().sum() for gain in self._gains]
        terms += [bias.square().sum() ** self._power for bias in self._biases]
        return self._strength * torch.stack(terms).sum()

    def _begin(self, training: Training) -> None:
        network = training.network
        norms = [module for module in network.modules() if isinstance(module, NORMS)]
        self._weights = list(prunable_weights(network).values())
        self._gains = list(_trainable(norms, "weight"))
        layers = weight_layers(network).values()
        self._biases = list(_trainable([*layers, *norms], "bias"))
        self._vectors = []
        for index, weight in enumerate(self._weights):
            seed = training.key.child("spectral", index).torch_seed()
            drawn = torch.randn(len(weight), generator=torch.Generator().manual_seed(seed))
            vector = drawn.to(weight)
            for _ in range(_FIRST_ITERATIONS - 1):  # the first step takes the last one
                vector, _ = _iterated(weight, vector)
            self._vectors.append(vector)


@torch.no_grad()
def _iterated(weight: Tensor, vector: Tensor) -> tuple[Tensor, Tensor]:
    """Returns a weight's left and right singular vector after one more power iteration."""
    matrix = weight.flatten(1)
    right = F.normalize(matrix.T @ vector, dim=0)
    left = F.normalize(matrix @ right, dim=0)
    # A weight of 0 has no singular vectors; from 0 the iteration would never come back.
    return torch.where(left.any(), left, vector), right


def _trainable(modules: Sequence[nn.Module], name: str) -> Iterator[Tensor]:
    for module in modules:
        parameter = getattr(module, name, None)
        if parameter is not None and parameter.requires_grad:
            yield parameter


make = Spectral
