"""Overlap beside and beyond what a snapshot's own magnitudes decide."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from raylot.masks.overlap import (
    chance_beside_untrained,
    overlaps_with_untrained,
    pairwise_overlaps,
)
from raylot.masks.pruning import Masks, magnitude_masks


def _mask(size: int, kept: range) -> Tensor:
    return torch.tensor([index in kept for index in range(size)])


def test_the_largest_magnitudes_survive_as_many_as_in_each_layer_of_the_ticket() -> None:
    weights = {"a": torch.tensor([[0.1, -0.9], [0.5, 0.2]]), "b": torch.tensor([3.0, -1.0, 2.0])}
    like = {
        "a": torch.tensor([[True, True], [False, False]]),
        "b": torch.tensor([True, False, False]),
    }
    found = magnitude_masks(weights, like)
    assert found["a"].tolist() == [[False, True], [True, False]]
    assert found["b"].tolist() == [True, False, False]


def test_chance_beside_one_untrained_mask_by_hand() -> None:
    """Within U: 4 * 2 / 5 weights in common; outside: 1 * 3 / 10; of 5 + 5 less these."""
    untrained = {"w": _mask(15, range(5))}
    a = {"w": _mask(15, range(4)) | _mask(15, range(9, 10))}
    b = {"w": _mask(15, range(2)) | _mask(15, range(11, 14))}
    common = 4 * 2 / 5 + 1 * 3 / 10
    expected = common / (10 - common)
    assert chance_beside_untrained(a, b, untrained, untrained) == pytest.approx(expected)


def test_chance_beside_nothing_is_plain_chance() -> None:
    a, b = {"w": _mask(20, range(8))}, {"w": _mask(20, range(5, 15))}
    for untrained in ({"w": _mask(20, range(0))}, {"w": _mask(20, range(20))}):
        (pair,) = pairwise_overlaps([a, b], [untrained] * 2).query("layer == 'all'").itertuples()
        assert pair.chance_untrained == pytest.approx(pair.chance)
        assert pair.beyond_untrained == pytest.approx(pair.corrected)


def _drawn(untrained: Tensor, inside: int, outside: int, generator: torch.Generator) -> Tensor:
    """A mask that keeps so many weights of the untrained one, and so many others."""
    mask = torch.zeros_like(untrained)
    for part, kept in ((untrained, inside), (~untrained, outside)):
        places = part.nonzero().squeeze(1)
        mask[places[torch.randperm(len(places), generator=generator)[:kept]]] = True
    return mask


@pytest.mark.parametrize("shift", [0, 60])
def test_masks_that_share_nothing_but_the_untrained_one_lie_at_that_chance(shift: int) -> None:
    """In two layers, with untrained masks that are equal or not; far above plain chance."""
    generator = torch.Generator().manual_seed(0)
    own = {"a": _mask(1000, range(200)), "b": _mask(300, range(150))}
    other = {"a": _mask(1000, range(shift, 200 + shift)), "b": _mask(300, range(150))}
    jaccards, beyond = [], []
    for _ in range(100):
        pair: list[Masks] = [
            {
                "a": _drawn(untrained["a"], *kept, generator),
                "b": _drawn(untrained["b"], 90, 60, generator),
            }
            for untrained, kept in ((own, (150, 50)), (other, (120, 80)))
        ]
        whole = pairwise_overlaps(pair, [own, other]).query("layer == 'all'").iloc[0]
        jaccards.append(whole["jaccard"])
        beyond.append(whole["beyond_untrained"])
    mean = sum(jaccards) / len(jaccards)
    assert mean == pytest.approx(whole["chance_untrained"], abs=0.004)
    assert abs(sum(beyond) / len(beyond)) < 0.006
    assert mean > whole["chance"] + 0.05


def test_tickets_that_are_their_untrained_mask_have_nothing_beyond_it() -> None:
    mask = {"w": _mask(10, range(4))}
    row = pairwise_overlaps([mask, mask], [mask, mask]).iloc[0]
    assert (row["jaccard"], row["chance_untrained"]) == (1, 1)
    assert math.isnan(row["beyond_untrained"])


def test_each_ticket_is_compared_with_its_own_untrained_mask() -> None:
    masks = [{"a": _mask(8, range(4)), "b": _mask(4, range(2))} for _ in range(2)]
    untrained = [masks[0], {"a": _mask(8, range(2, 6)), "b": _mask(4, range(2))}]
    table = overlaps_with_untrained(masks, untrained)
    assert table["ticket_a"].tolist() == table["ticket_b"].tolist() == [0, 0, 0, 1, 1, 1]
    assert table["layer"].tolist() == ["all", "a", "b"] * 2
    assert table["jaccard"].tolist() == pytest.approx([1, 1, 1, 4 / 8, 2 / 6, 1])
