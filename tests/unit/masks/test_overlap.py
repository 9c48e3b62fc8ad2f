"""Overlap of masks, and its chance level."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from raylot.foundation.randomness import RandomKey
from raylot.masks.overlap import (
    chance_jaccard,
    corrected_for_chance,
    mean_overlap,
    pairwise_overlaps,
)
from raylot.masks.pruning import Masks, random_masks_like

_bits = st.lists(st.booleans(), min_size=12, max_size=12).map(lambda bits: torch.tensor(bits))


def jaccard(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(pairwise_overlaps([{"w": a}, {"w": b}])["jaccard"].iloc[0])


def test_jaccard_by_hand() -> None:
    a = torch.tensor([True, True, True, False, False])
    b = torch.tensor([False, True, True, True, False])
    assert jaccard(a, b) == 2 / 4
    assert jaccard(a, ~a) == 0
    assert jaccard(torch.zeros(3, dtype=torch.bool), torch.zeros(3, dtype=torch.bool)) == 1


@given(a=_bits, b=_bits)
def test_jaccard_is_symmetric_bounded_and_one_only_for_equal_masks(
    a: torch.Tensor, b: torch.Tensor
) -> None:
    assert jaccard(a, b) == jaccard(b, a)
    assert 0 <= jaccard(a, b) <= 1
    assert (jaccard(a, b) == 1) == torch.equal(a, b)


def test_chance_level_for_one_density_is_d_over_2_minus_d() -> None:
    assert chance_jaccard([1000], [200], [200]) == pytest.approx(0.2 / 1.8)
    assert chance_jaccard([100, 900], [20, 180], [20, 180]) == pytest.approx(0.2 / 1.8)
    # two layers: intersection 10*10/20 + 1*1/10 = 5.1 of 22 - 5.1
    assert chance_jaccard([20, 10], [10, 1], [10, 1]) == pytest.approx(5.1 / 16.9)


def test_independent_random_masks_overlap_as_chance_says() -> None:
    like = {"a": torch.arange(4000) < 800, "b": torch.arange(1000) < 500}
    masks = [random_masks_like(like, RandomKey((k,))) for k in range(12)]
    whole = pairwise_overlaps(masks).query("layer == 'all'")
    assert whole["jaccard"].mean() == pytest.approx(whole["chance"].iloc[0], abs=0.005)
    assert abs(whole["corrected"].mean()) < 0.006


@given(st.lists(st.tuples(_bits, _bits), min_size=2, max_size=6))
def test_the_mean_is_that_of_all_pairs_over_the_whole_network(
    tickets: list[tuple[torch.Tensor, torch.Tensor]],
) -> None:
    masks = [{"a": a, "b": b} for a, b in tickets]
    whole = pairwise_overlaps(masks).query("layer == 'all'")
    assert mean_overlap(masks) == whole["jaccard"].mean()


def test_correction_is_0_at_chance_1_if_identical_and_undefined_without_room() -> None:
    assert corrected_for_chance(0.25, 0.25) == 0
    assert corrected_for_chance(1.0, 0.25) == 1
    assert math.isnan(corrected_for_chance(1.0, 1.0))


def test_pairs_are_compared_in_each_layer_and_over_all() -> None:
    masks: list[Masks] = [
        {"a": torch.tensor([True, False]), "b": torch.tensor([True, True, False, False])},
        {"a": torch.tensor([True, False]), "b": torch.tensor([False, True, True, False])},
        {"a": torch.tensor([False, True]), "b": torch.tensor([False, False, True, True])},
    ]
    table = pairwise_overlaps(masks).set_index(["layer", "ticket_a", "ticket_b"])["jaccard"]
    assert len(table) == 9
    assert table["a", 0, 1] == 1
    assert table["b", 0, 1] == pytest.approx(1 / 3)
    assert table["all", 0, 1] == pytest.approx(2 / 4)
    assert table["all", 0, 2] == 0
    assert table["all", 1, 2] == pytest.approx(1 / 5)
