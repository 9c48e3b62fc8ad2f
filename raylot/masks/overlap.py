"""How alike tickets are: overlap of their masks, and its chance level."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pandas as pd

from raylot.foundation.names import WHOLE_NETWORK
from raylot.training import Masks


def chance_jaccard(sizes: Sequence[int], a: Sequence[int], b: Sequence[int]) -> float:
    """Returns expected intersection over expected union of independent random masks, in [0, 1].

    Args:
        sizes: weights of each layer.
        a: survivors of one mask in each layer.
        b: survivors of the other.

    For one density d in all layers it is d / (2 - d).
    """
    both = sum(x * y / n for n, x, y in zip(sizes, a, b, strict=True))
    return _ratio(both, sum(a) + sum(b) - both)


def corrected_for_chance(overlap: float, chance: float) -> float:
    """Returns (J - J0) / (1 - J0): 0 at chance, 1 if identical; NaN if chance is 1."""
    return (overlap - chance) / (1 - chance) if chance < 1 else float("nan")


def pairwise_overlaps(masks: Sequence[Masks]) -> pd.DataFrame:
    """Returns the overlap of every pair of masks, in each layer and over the whole network.

    Args:
        masks: one per ticket, all of one network.

    Returns:
        Columns layer (``"all"`` for the whole network), ticket_a, ticket_b, jaccard (|A and B| /
        |A or B|, in [0, 1]; 1 if both are empty), chance, corrected; one row per pair and layer.
    """
    rows = []
    survivors = [{name: int(m.sum()) for name, m in mask.items()} for mask in masks]
    for a, b in itertools.combinations(range(len(masks)), 2):
        both = {n: int((masks[a][n] & masks[b][n]).sum()) for n in masks[a]}
        groups = {WHOLE_NETWORK: list(masks[a])} | {name: [name] for name in masks[a]}
        for layer, names in groups.items():
            kept_a = [survivors[a][n] for n in names]
            kept_b = [survivors[b][n] for n in names]
            intersection = sum(both[n] for n in names)
            overlap = _ratio(intersection, sum(kept_a) + sum(kept_b) - intersection)
            chance = chance_jaccard([masks[a][n].numel() for n in names], kept_a, kept_b)
            rows.append((layer, a, b, overlap, chance, corrected_for_chance(overlap, chance)))
    columns = ["layer", "ticket_a", "ticket_b", "jaccard", "chance", "corrected"]
    return pd.DataFrame(rows, columns=columns)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 1.0
