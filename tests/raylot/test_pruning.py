"""Masks: what is prunable, exact survivor counts, ties, and the random control."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch import nn

from raylot.pruning import (
    density,
    full_masks,
    prunable_weights,
    prune,
    random_masks_like,
    survivor_count,
)
from raylot.randomness import RandomKey


def test_weights_of_linear_and_convolution_layers_can_be_pruned_and_nothing_else() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)
    )
    assert list(prunable_weights(network)) == ["0.weight", "4.weight"]


def test_a_network_without_such_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one trainable linear or convolution layer"):
        prunable_weights(nn.Sequential(nn.ReLU()))


def test_the_smallest_scores_go_first_and_ties_by_index() -> None:
    scores = {"w": torch.tensor([[3.0, 1.0, 2.0], [1.0, 1.0, 5.0]])}
    masks = {"w": torch.ones(2, 3, dtype=torch.bool)}
    # 6 weights, one third removed: two of the three ones, the earlier ones
    kept = prune(scores, masks, sparsity=1 / 3, round_index=1, rounds=1)
    assert kept["w"].tolist() == [[True, False, True], [False, True, True]]


def test_a_removed_weight_stays_removed_however_high_its_score() -> None:
    scores = {"w": torch.tensor([9.0, 1.0, 2.0, 3.0])}
    masks = {"w": torch.tensor([False, True, True, True])}
    kept = prune(scores, masks, sparsity=0.5, round_index=1, rounds=1)
    assert kept["w"].tolist() == [False, False, True, True]


def test_survivors_follow_the_schedule() -> None:
    # 1000 weights, 80% removed in 3 rounds: 1000 * 0.2^(1/3) = 584.8, 342.0, 200
    assert [survivor_count(1000, 0.8, r, 3) for r in (0, 1, 2, 3)] == [1000, 585, 342, 200]


def test_global_scope_ranks_all_layers_together() -> None:
    scores = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([10.0, 20.0, 30.0, 40.0])}
    masks = {name: torch.ones_like(s, dtype=torch.bool) for name, s in scores.items()}
    kept = prune(scores, masks, 0.5, 1, 1, scope="global")
    assert kept["a"].tolist() == [False, False]
    assert kept["b"].tolist() == [False, True, True, True]
    per_layer = prune(scores, masks, 0.5, 1, 1, scope="layer")
    assert per_layer["a"].tolist() == [False, True]
    assert per_layer["b"].tolist() == [False, False, True, True]


@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    sparsity=st.floats(0, 0.999),
    rounds=st.integers(1, 6),
    scope=st.sampled_from(["layer", "global"]),
    seed=st.integers(0, 1000),
    levels=st.integers(1, 5),
)
def test_exactly_the_promised_number_survives_every_round(
    sizes: list[int], sparsity: float, rounds: int, scope: str, seed: int, levels: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    masks = {str(k): torch.ones(n, dtype=torch.bool) for k, n in enumerate(sizes)}
    for r in range(1, rounds + 1):
        # few distinct values, so that there are many ties
        scores = {
            name: torch.randint(0, levels, m.shape, generator=generator).float()
            for name, m in masks.items()
        }
        before = masks
        masks = prune(scores, masks, sparsity, r, rounds, scope)
        share = (1 - sparsity) ** (r / rounds)
        if scope == "layer":
            assert [int(m.sum()) for m in masks.values()] == [round(n * share) for n in sizes]
        else:
            assert sum(int(m.sum()) for m in masks.values()) == round(sum(sizes) * share)
        assert all(not (masks[name] & ~before[name]).any() for name in masks)


def test_random_masks_keep_each_layers_count_and_depend_on_the_key_alone() -> None:
    masks = {"a": torch.arange(100).view(10, 10) < 30, "b": torch.arange(50) < 5}
    first = random_masks_like(masks, RandomKey((0, 1)))
    assert [int(m.sum()) for m in first.values()] == [30, 5]
    assert first["a"].shape == (10, 10)
    again = random_masks_like(masks, RandomKey((0, 1)))
    other = random_masks_like(masks, RandomKey((0, 2)))
    assert all(torch.equal(first[n], again[n]) for n in masks)
    assert not torch.equal(first["a"], other["a"])


def test_random_masks_choose_every_weight_equally_often() -> None:
    masks = {"w": torch.arange(20) < 5}
    draws = sum(random_masks_like(masks, RandomKey((k,)))["w"].int() for k in range(2000))
    # each is kept with probability 1/4: 500 times, standard deviation 19
    assert isinstance(draws, torch.Tensor)
    assert (draws - 500).abs().max() < 5 * math.sqrt(2000 * 0.25 * 0.75)


def test_density_counts_all_layers() -> None:
    network = nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 1))
    masks = full_masks(network)
    assert density(masks) == 1.0
    masks["0.weight"][0] = False  # 4 of 8 + 2 weights
    assert density(masks) == pytest.approx(0.6)
