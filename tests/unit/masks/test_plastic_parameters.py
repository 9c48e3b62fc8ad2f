"""Plastic parameters: which weights they are, and their overlap with tickets, on six weights."""

from __future__ import annotations

import math

import pytest
import torch

from raylot.masks.plastic_parameters import SELECTIONS, plastic_masks, plastic_overlaps
from raylot.masks.pruning import Masks

_MAGNITUDES = {"a": torch.tensor([[0.4, 0.1], [0.3, 0.2]]), "b": torch.tensor([0.5, 0.9])}


def _masks(a: list[int], b: list[int]) -> Masks:
    return {"a": torch.tensor(a).bool().view(2, 2), "b": torch.tensor(b).bool()}


_FIRST = _masks([1, 1, 0, 0], [1, 0])
_SECOND = _masks([1, 0, 1, 0], [1, 0])


def _kept(masks: Masks) -> list[list[int]]:
    return [mask.flatten().nonzero().flatten().tolist() for mask in masks.values()]


def test_the_most_plastic_weights_of_each_layer_are_as_many_as_the_tickets() -> None:
    assert _kept(plastic_masks(_MAGNITUDES, _FIRST)) == [[0, 2], [1]]
    # the ticket keeps 3 of 4 and none of 2 weights
    assert _kept(plastic_masks(_MAGNITUDES, _masks([1, 1, 1, 0], [0, 0]))) == [[0, 2, 3], []]


def test_with_the_overall_density_each_layer_keeps_the_same_share() -> None:
    # the ticket keeps 3 of 6 weights: half of 4 and half of 2
    ticket = _masks([1, 1, 1, 0], [0, 0])
    assert _kept(plastic_masks(_MAGNITUDES, ticket, layer_densities=False)) == [[0, 2], [1]]


def test_selections_of_two_tickets() -> None:
    tickets = [_FIRST, _SECOND]
    kept = {name: _kept(select(tickets)) for name, select in SELECTIONS.items()}
    assert kept == {
        "first": [[0, 1], [0]],
        "union": [[0, 1, 2], [0]],
        "intersection": [[0], [0]],
    }


@pytest.mark.parametrize(
    ("selection", "layer", "density", "jaccard", "chance"),
    [
        # Plastic are a0, a2 and b1. Chance is expected intersection over expected union: for a,
        # with 4 weights and k chosen, 2k/4 over 2 + k - 2k/4; for b 0.5 over 1.5.
        ("first", "a", 2 / 4, 1 / 3, 1 / 3),
        ("first", "b", 1 / 2, 0, 1 / 3),
        ("first", "all", 3 / 6, 1 / 5, 1.5 / 4.5),
        ("union", "a", 3 / 4, 2 / 3, 1.5 / 3.5),
        ("union", "b", 1 / 2, 0, 1 / 3),
        ("union", "all", 4 / 6, 2 / 5, 2 / 5),
        ("intersection", "a", 1 / 4, 1 / 2, 0.5 / 2.5),
        ("intersection", "b", 1 / 2, 0, 1 / 3),
        ("intersection", "all", 2 / 6, 1 / 4, 1 / 4),
    ],
)
def test_overlaps_by_hand(
    selection: str, layer: str, density: float, jaccard: float, chance: float
) -> None:
    rows = plastic_overlaps(_MAGNITUDES, [_FIRST, _SECOND])
    (row,) = [row for row in rows if (row["selection"], row["layer"]) == (selection, layer)]
    assert row == {
        "layer": layer,
        "selection": selection,
        "density": pytest.approx(0.5),
        "selection_density": pytest.approx(density),
        "jaccard": pytest.approx(jaccard),
        "chance": pytest.approx(chance),
        "corrected": pytest.approx((jaccard - chance) / (1 - chance)),
    }


def test_a_training_that_diverged_ranks_nothing() -> None:
    magnitudes = {**_MAGNITUDES, "b": torch.tensor([0.5, math.nan])}
    rows = plastic_overlaps(magnitudes, [_FIRST])
    assert all(math.isnan(row["jaccard"]) and math.isnan(row["corrected"]) for row in rows)
    assert rows[0]["chance"] == pytest.approx(1 / 3)
