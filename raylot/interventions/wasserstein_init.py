"""Regularisation towards the distribution of initial parameters."""

from __future__ import annotations

import torch
from torch import Tensor

from raylot.config import InterventionOptions
from raylot.training import Intervention, Training


class WassersteinInit(Intervention):
    """Adds strength x (squared Wasserstein distances from the initial distributions) to the loss.

    Summed over all trainable parameter tensors: the squared 2-Wasserstein distance between a
    tensor's entries and their initial values is the mean of (sorted entries - sorted initial
    entries)^2. Lewandowski et al. (2023) proposed it; the mean, and not the sum, is as in the code
    of Chung et al. (2024). Entries may trade places freely, unlike with `L2Init`.

    In a masked network only the live entries are sorted, and compared with their own initial
    values: pruned entries never move, and would take up ranks.
    """

    def __init__(self, options: InterventionOptions) -> None:
        self._strength = options.wasserstein_strength
        self._targets: list[Tensor] = []

    def loss_term(self, training: Training) -> Tensor:
        if training.step == 0:
            initial = _live_parts(training, training.initial_vector)
            self._targets = [part.sort().values for part in initial]
        parts = _live_parts(training, training.flat.vector)
        distances = [
            (part.sort().values - target).square().mean()
            for part, target in zip(parts, self._targets, strict=True)
        ]
        return self._strength * torch.stack(distances).sum()


def _live_parts(training: Training, vector: Tensor) -> list[Tensor]:
    """Splits a vector by parameter, and takes the live entries of each that has any."""
    parts = [part.flatten() for part in training.flat.unflatten(vector).values()]
    if training.live is not None:
        live = training.flat.unflatten(training.live).values()
        parts = [part[mask.flatten()] for part, mask in zip(parts, live, strict=True)]
    return [part for part in parts if len(part)]


make = WassersteinInit
