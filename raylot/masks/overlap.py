"""How alike tickets are: overlap of their masks, and its chance levels."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from torch import Tensor

from raylot.foundation.names import WHOLE_NETWORK
from raylot.training import Masks

#: Columns that compare two masks; and that do so beside what each shares with an untrained one.
_LIKENESS = ("jaccard", "chance", "corrected")
_BEYOND = ("chance_untrained", "beyond_untrained")


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


def chance_beside_untrained(a: Masks, b: Masks, untrained_a: Masks, untrained_b: Masks) -> float:
    """Returns the overlap of two masks to be expected from what each shares with an untrained mask.

    Each mask keeps as many weights of its untrained mask, and as many others, in each layer as it
    does, and is random otherwise: weight w of a layer survives in A with the probability
    p_A(w) = |A and U| / |U| within U, |A without U| / |not U| outside. The expected intersection is
    the sum of p_A(w) p_B(w). For one U, that is |A and U| |B and U| / |U| within it.

    Args:
        a: one mask.
        b: the other.
        untrained_a: the untrained mask that belongs to A.
        untrained_b: the one that belongs to B; the same as A's if both start from one state and
            have equal layer densities.

    Returns:
        Expected intersection over expected union, in [0, 1].
    """
    both = sum(_shared_at_random(a[n], b[n], untrained_a[n], untrained_b[n]) for n in a)
    return _ratio(both, sum(int(mask.sum()) for mask in (*a.values(), *b.values())) - both)


def _shared_at_random(a: Tensor, b: Tensor, untrained_a: Tensor, untrained_b: Tensor) -> float:
    """Returns how many weights of a layer survive in both, see `chance_beside_untrained`."""
    shared = 0.0
    for part_a in (untrained_a, ~untrained_a):
        for part_b in (untrained_b, ~untrained_b):
            if weights := int((part_a & part_b).sum()):
                share_a = int((a & part_a).sum()) / int(part_a.sum())
                share_b = int((b & part_b).sum()) / int(part_b.sum())
                shared += weights * share_a * share_b
    return shared


def pairwise_overlaps(masks: Sequence[Masks], untrained: Sequence[Masks] = ()) -> pd.DataFrame:
    """Returns the overlap of every pair of masks, in each layer and over the whole network.

    Args:
        masks: one per ticket, all of one network.
        untrained: the untrained mask that belongs to each ticket; none: these are not known.

    Returns:
        Columns layer (``"all"`` for the whole network), ticket_a, ticket_b, jaccard (|A and B| /
        |A or B|, in [0, 1]; 1 if both are empty), chance, corrected; with untrained masks also
        chance_untrained and beyond_untrained, the same beside `chance_beside_untrained`; one row
        per pair and layer.
    """
    columns = ["layer", "ticket_a", "ticket_b", *_LIKENESS, *_BEYOND * bool(untrained)]
    rows: list[tuple[object, ...]] = []
    for a, b in itertools.combinations(range(len(masks)), 2):
        for layer, names in _groups(masks[a]).items():
            one, other = _part(masks[a], names), _part(masks[b], names)
            likeness = _likeness(one, other)
            beyond: tuple[float, ...] = ()
            if untrained:
                theirs = (_part(untrained[k], names) for k in (a, b))
                chance = chance_beside_untrained(one, other, *theirs)
                beyond = (chance, corrected_for_chance(likeness[0], chance))
            rows.append((layer, a, b, *likeness, *beyond))
    return pd.DataFrame(rows, columns=columns)


def mean_overlap(masks: Sequence[Masks]) -> float:
    """Returns the mean overlap of all pairs of masks over the whole network."""
    return float(np.mean([_likeness(a, b)[0] for a, b in itertools.combinations(masks, 2)]))


def overlaps_with_untrained(masks: Sequence[Masks], untrained: Sequence[Masks]) -> pd.DataFrame:
    """Returns the overlap of each ticket with its untrained mask, in each layer and over all.

    Args:
        masks: one per ticket.
        untrained: the untrained mask that belongs to each ticket.

    Returns:
        Columns layer, ticket_a, ticket_b (both the ticket), jaccard, chance, corrected.
    """
    rows = [
        (layer, k, k, *_likeness(_part(one, names), _part(other, names)))
        for k, (one, other) in enumerate(zip(masks, untrained, strict=True))
        for layer, names in _groups(one).items()
    ]
    return pd.DataFrame(rows, columns=["layer", "ticket_a", "ticket_b", *_LIKENESS])


def _likeness(a: Masks, b: Masks) -> tuple[float, float, float]:
    """Returns overlap, its chance level, and the overlap corrected for chance."""
    kept_a, kept_b = ([int(mask.sum()) for mask in masks.values()] for masks in (a, b))
    both = sum(int((a[name] & b[name]).sum()) for name in a)
    overlap = _ratio(both, sum(kept_a) + sum(kept_b) - both)
    chance = chance_jaccard([mask.numel() for mask in a.values()], kept_a, kept_b)
    return overlap, chance, corrected_for_chance(overlap, chance)


def _groups(masks: Masks) -> dict[str, list[str]]:
    """Returns which weights each ``layer`` of the table is about."""
    return {WHOLE_NETWORK: list(masks)} | {name: [name] for name in masks}


def _part(masks: Masks, names: Sequence[str]) -> Masks:
    return {name: masks[name] for name in names}


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 1.0
