"""Chance decides which weights go."""

from __future__ import annotations

import torch
from torch import Tensor

from raylot.masks.context import PruningContext


def score(context: PruningContext) -> dict[str, Tensor]:
    """Returns independent draws from [0, 1)."""
    scores = {}
    for name, mask in context.masks.items():
        draws = context.key.child(name).generator().random(mask.numel())
        scores[name] = torch.from_numpy(draws).view(mask.shape).to(mask.device)
    return scores
