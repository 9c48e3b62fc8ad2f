"""Pruning criteria: which of the surviving weights are pruned first (Zhou et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from raylot.foundation.randomness import RandomKey


def _random(trained: Tensor, start: Tensor, key: RandomKey) -> Tensor:
    draws = key.generator().random(trained.numel())
    return torch.from_numpy(draws).view(trained.shape).to(trained.device)


#: Criterion -> scores of weights, from their values after training, their values before it, and a
#: key for random draws. Weights with the lowest scores are pruned.
CRITERIA: dict[str, Callable[[Tensor, Tensor, RandomKey], Tensor]] = {
    "magnitude": lambda trained, start, key: trained.abs(),
    "magnitude_increase": lambda trained, start, key: trained.abs() - start.abs(),
    "movement": lambda trained, start, key: (trained - start).abs(),
    "random": _random,
}
