"""Plastic parameters: the weights with the largest mean |gradient|, and their overlap with tickets.

g_w is the mean of |dL/dw| over all training steps of the dense snapshot. The plastic mask keeps the
weights with the largest g_w in each layer. If its overlap with tickets is at chance level or below,
the most plastic weights are not the tickets' weights.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from raylot.foundation.names import WHOLE_NETWORK
from raylot.masks.overlap import pairwise_overlaps
from raylot.masks.pruning import density, keep_highest
from raylot.training import Masks

#: Name -> which weights of the tickets are compared with the plastic ones.
SELECTIONS: dict[str, Callable[[Sequence[Masks]], Masks]] = {
    "first": lambda tickets: tickets[0],
    "union": lambda tickets: _merged(tickets, torch.logical_or),
    "intersection": lambda tickets: _merged(tickets, torch.logical_and),
}


def plastic_masks(
    magnitudes: Mapping[str, Tensor], ticket: Masks, layer_densities: bool = True
) -> Masks:
    """Returns masks of the most plastic weights of each layer.

    Args:
        magnitudes: g_w, in the shapes of the masks.
        ticket: decides how many weights count as plastic.
        layer_densities: True: in each layer as many as the ticket keeps there. False: in each layer
            the share that the ticket keeps of the whole network (as the original study did).
    """
    overall = density(ticket)
    return {
        name: keep_highest(
            magnitudes[name],
            torch.ones_like(mask),
            int(mask.sum()) if layer_densities else round(overall * mask.numel()),
        )
        for name, mask in ticket.items()
    }


def plastic_overlaps(
    magnitudes: Mapping[str, Tensor], tickets: Sequence[Masks], layer_densities: bool = True
) -> list[dict[str, Any]]:
    """Returns the overlap of the most plastic weights with each selection of ticket weights.

    Args:
        magnitudes: g_w per prunable weight.
        tickets: the tickets' masks; the first decides how many weights count as plastic.
        layer_densities: see `plastic_masks`.

    Returns:
        Rows of the ``plastic_parameters`` table without identity, one per selection and layer. The
        overlaps are NaN if a magnitude is not finite, as after a diverged training.
    """
    ranked = all(bool(magnitude.isfinite().all()) for magnitude in magnitudes.values())
    plastic = plastic_masks(magnitudes, tickets[0], layer_densities)
    rows = []
    for name, select in SELECTIONS.items():
        chosen = select(tickets)
        for pair in pairwise_overlaps([plastic, chosen]).to_dict("records"):
            layer = str(pair["layer"])
            own = layer if layer != WHOLE_NETWORK else None
            rows.append(
                {
                    "layer": layer,
                    "selection": name,
                    "density": density(plastic if own is None else {own: plastic[own]}),
                    "selection_density": density(chosen if own is None else {own: chosen[own]}),
                    "jaccard": pair["jaccard"] if ranked else math.nan,
                    "chance": pair["chance"],
                    "corrected": pair["corrected"] if ranked else math.nan,
                }
            )
    return rows


def _merged(tickets: Sequence[Masks], merge: Callable[[Tensor, Tensor], Tensor]) -> Masks:
    return {name: functools.reduce(merge, (t[name] for t in tickets)) for name in tickets[0]}
