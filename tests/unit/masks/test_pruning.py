"""Masks: exact survivor counts, ties, and masks made by chance."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch import nn

from raylot.foundation.randomness import RandomKey
from raylot.masks.pruning import (
    density,
    full_masks,
    independent_masks,
    live_vector,
    prune,
    random_masks_like,
    remarks_on_emptied,
    survivor_count,
    zero_pruned,
)


def test_weights_that_are_pruned_away_entirely_are_said() -> None:
    some, none = torch.tensor([True, False]), torch.tensor([False, False])
    tickets = [{"a": some, "b": none}, {"a": some, "b": some}, {"a": some, "b": none}]
    assert remarks_on_emptied(tickets) == ["b: pruned away entirely in 2 of 3 tickets"]
    assert remarks_on_emptied(tickets[:1]) == ["b: pruned away entirely"]
    assert remarks_on_emptied(tickets[1:2]) == []


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


def test_global_scope_ranks_all_layers_together() -> None:
    scores = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([10.0, 20.0, 30.0, 40.0])}
    masks = {name: torch.ones_like(s, dtype=torch.bool) for name, s in scores.items()}
    kept = prune(scores, masks, 0.5, 1, 1, scope="global")
    assert kept["a"].tolist() == [False, False]
    assert kept["b"].tolist() == [False, True, True, True]
    per_layer = prune(scores, masks, 0.5, 1, 1, scope="layer")
    assert per_layer["a"].tolist() == [False, True]
    assert per_layer["b"].tolist() == [False, False, True, True]


@pytest.mark.parametrize(
    ("rounds", "rate", "survivors"),
    [
        (2, 1.0, [100, 45, 20]),  # 100 * sqrt(0.2) = 44.7
        (1, 1.0, [100, 20]),
        (3, 1.0, [100, 58, 34, 20]),  # 100 * 0.2^(1/3) = 58.5, 100 * 0.2^(2/3) = 34.2
        # p = 1 - sqrt(0.2) = 0.5528, half of it 0.2764: 100 * 0.7236 = 72.4, 100 * 0.7236^2 = 52.4
        (2, 0.5, [100, 72, 52]),
        (1, 0.5, [100, 60]),  # p = 0.8, half of it 0.4
        (3, 0.0, [100, 100, 100, 100]),
    ],
)
def test_survivors_of_100_weights_at_sparsity_80_percent(
    rounds: int, rate: float, survivors: list[int]
) -> None:
    counts = [survivor_count(100, 0.8, r, rounds, rate) for r in range(rounds + 1)]
    assert counts == survivors


def test_only_the_last_layer_has_the_output_rate() -> None:
    masks = {name: torch.ones(10, 10, dtype=torch.bool) for name in ("output", "body", "last")}
    scores = {name: torch.rand(10, 10) for name in masks}
    kept = prune(scores, masks, 0.8, 2, 2, output_rate=0.5)
    assert [int(m.sum()) for m in kept.values()] == [20, 20, 52]


@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    sparsity=st.floats(0, 0.999),
    rounds=st.integers(1, 6),
    scope=st.sampled_from(["layer", "global"]),
    output_rate=st.sampled_from([1.0, 0.5, 0.0]) | st.floats(0, 1),
    seed=st.integers(0, 1000),
    levels=st.integers(1, 5),
)
def test_exactly_the_promised_number_survives_every_round(
    sizes: list[int], sparsity: float, rounds: int, scope: str, output_rate: float, seed: int,
    levels: int,
) -> None:  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    masks = {str(k): torch.ones(n, dtype=torch.bool) for k, n in enumerate(sizes)}
    rate = output_rate if scope == "layer" else 1.0
    removed_per_round = 1 - (1 - sparsity) ** (1 / rounds)
    for r in range(1, rounds + 1):
        # few distinct values, so that there are many ties
        scores = {
            name: torch.randint(0, levels, m.shape, generator=generator).float()
            for name, m in masks.items()
        }
        before = masks
        masks = prune(scores, masks, sparsity, r, rounds, scope, rate)
        share = (1 - sparsity) ** (r / rounds)
        output = share if rate == 1 else (1 - rate * removed_per_round) ** r
        if scope == "layer":
            expected = [round(n * share) for n in sizes[:-1]] + [round(sizes[-1] * output)]
            assert [int(m.sum()) for m in masks.values()] == expected
        else:
            assert sum(int(m.sum()) for m in masks.values()) == round(sum(sizes) * share)
        assert all(not (masks[name] & ~before[name]).any() for name in masks)


def test_random_masks_keep_each_layers_count_and_depend_on_the_key_alone() -> None:
    masks = {"a": torch.arange(100).view(10, 10) < 30, "b": torch.arange(50) < 5}
    first, again, other = (random_masks_like(masks, RandomKey((0, key))) for key in (1, 1, 2))
    assert [int(m.sum()) for m in first.values()] == [30, 5]
    assert first["a"].shape == (10, 10)
    assert all(torch.equal(first[n], again[n]) for n in masks)
    assert not torch.equal(first["a"], other["a"])
    assert not torch.equal(first["a"], masks["a"])


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


def test_independent_masks_keep_each_weight_with_the_probability_given() -> None:
    masks = {"a": torch.zeros(100, 50, dtype=torch.bool), "b": torch.ones(5000, dtype=torch.bool)}
    drawn = independent_masks(masks, 0.05, RandomKey((0,)))
    assert [m.shape for m in drawn.values()] == [m.shape for m in masks.values()]
    # 5000 * 0.05 = 250 in each layer, standard deviation sqrt(5000 * 0.05 * 0.95) = 15.4
    counts = [int(m.sum()) for m in drawn.values()]
    assert all(abs(count - 250) < 5 * 15.4 for count in counts)
    assert counts[0] != counts[1], "a count that is fixed is not independent"
    assert int(independent_masks(masks, 1.0, RandomKey((0,)))["a"].sum()) == 5000


def test_pruned_weights_are_set_to_zero_in_place() -> None:
    network = nn.Linear(3, 1)
    nn.init.constant_(network.weight, 2.0)
    nn.init.constant_(network.bias, 7.0)
    zero_pruned(network, {"weight": torch.tensor([[True, False, True]])})
    assert network.weight.tolist() == [[2.0, 0.0, 2.0]]
    assert network.bias.tolist() == [7.0]


def test_pruned_weights_are_0_and_all_else_is_1() -> None:
    parameters = {"a.weight": torch.zeros(2, 2).double(), "a.bias": torch.zeros(1).double()}
    found = live_vector(parameters, {"a.weight": torch.tensor([[True, False], [False, True]])})
    assert found.tolist() == [1, 0, 0, 1, 1]
    assert found.dtype == torch.float64
