"""Combines two scores of a weight, of which both must be high."""

from __future__ import annotations

import torch
from torch import Tensor

from raylot.training import Masks


def lower_rank(one: dict[str, Tensor], other: dict[str, Tensor], masks: Masks) -> dict[str, Tensor]:
    """Returns the lower of two ranks among the survivors of a layer, in [0, 1).

    A weight's rank is the share of its layer's survivors with a lower score. So the weights that
    are kept pass the same percentile of both scores, which puts both on one scale: Zhou et al.
    2019 write it min(a x, y), with a number a that does this. Ranks of pruned weights are 0.
    """
    return {
        name: torch.minimum(_rank(one[name], mask), _rank(other[name], mask))
        for name, mask in masks.items()
    }


def _rank(scores: Tensor, mask: Tensor) -> Tensor:
    order = scores[mask].sort(stable=True).indices
    share = torch.arange(len(order), dtype=torch.float64, device=mask.device) / max(1, len(order))
    own = torch.empty_like(share)
    own[order] = share
    return torch.zeros(mask.shape, dtype=share.dtype, device=mask.device).masked_scatter(mask, own)
