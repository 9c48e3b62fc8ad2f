"""Trainings that stop once their masks have settled."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from raylot.config import TicketSearchOptions
from raylot.foundation.randomness import RandomKey
from raylot.masks.distance import hamming
from raylot.masks.pruning import full_masks, prune
from raylot.networks.prunable import prunable_weights
from raylot.tickets.early_bird import EarlyBird
from raylot.training import Masks, train
from tests.support.tasks import random_task, small_network
from tests.unit.config.refused import refusal
from tests.unit.tickets.searches import begin_search


def _mask(text: str) -> Masks:
    bits = torch.tensor([letter == "1" for letter in text])
    return {"a": bits[:2], "b": bits[2:].view(-1, 1)}


def test_the_distance_is_the_share_of_weights_in_one_mask_alone() -> None:
    assert hamming(_mask("11110"), _mask("11101")) == 2 / 5
    assert hamming(_mask("10101"), _mask("10101")) == 0
    assert hamming(_mask("11111"), _mask("00000")) == 1


@pytest.mark.parametrize("stops", [False, True])
def test_masks_have_settled_once_the_latest_is_near_each_of_the_window(stops: bool) -> None:
    """With a distance of 0.4 of five weights, two masks may differ in one.

    The third mask differs from the first in two, the fourth from the two before it in one and none.
    """
    drawn = ["11000", "11100", "11110", "11100", "11100"]
    masks = iter(drawn)
    watch = EarlyBird(lambda network: _mask(next(masks)), 0.4, 3, stops=stops)
    network = nn.Identity()
    for _ in range(3):
        assert not watch(network)
        assert watch.masks is None
    assert watch(network) is stops
    assert watch.masks is not None
    assert hamming(watch.masks, _mask(drawn[3])) == 0
    assert watch(network) is stops, "it has settled for good"
    assert next(masks) == drawn[4], "it draws no more masks"


_OPTIONS: dict[str, Any] = {"epochs": 12, "early_bird": 0.1, "early_bird_epochs": 3}


def _by_hand(round_index: int, masks: Masks, engine: str) -> tuple[int, Masks]:
    """Trains anew for 1, 2, 3 ... epochs; returns the epoch after which masks have settled."""
    found: list[Masks] = []
    for epochs in range(1, 13):
        network = small_network()
        key = RandomKey((3, "ticket", 0, "round", round_index))
        train(
            network, random_task(), epochs=epochs, batch_size=8, key=key, engine=engine,
            optimizer=TicketSearchOptions.checked(lr=0.01), masks=masks if round_index else None,
        )  # fmt: skip
        scores = {name: w.detach().abs() for name, w in prunable_weights(network).items()}
        found.append(prune(scores, masks, 0.5, round_index + 1, 2))
        if len(found) >= 3 and all(hamming(found[-1], one) < 0.1 for one in found[-3:]):
            return epochs, found[-1]
    raise AssertionError("they never settle")


@pytest.mark.parametrize("engine", ["generic", "fast"])
def test_rounds_stop_early_and_neither_the_dense_network_nor_the_ticket_does(engine: str) -> None:
    search = begin_search(**_OPTIONS, engine=engine)
    plain = begin_search(epochs=12, engine=engine)
    masks = full_masks(small_network())
    for r in (0, 1):
        epochs, masks = _by_hand(r, masks, engine)
        assert epochs < 12
        rows = search.train_round()
        assert all(torch.equal(search.masks[0][name], mask) for name, mask in masks.items())
        # 5 steps per epoch
        assert rows[0][1].steps == (epochs * 5 if r else 60)
        if r == 0:
            assert [row for row, _ in rows] == [row for row, _ in plain.train_round()]
    assert [result.steps for _, result in search.train_round()] == [60, 60]
    assert [result.steps for _, result in search.train_control("random")] == [60, 60]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"criterion": "snip"}, "early_bird=0.1: must be none with criterion snip, which scores "
         "before training"),
        ({"criterion": "taylor"}, "early_bird=0.1: must be none with criterion taylor, which "
         "scores by means over a whole training"),
        ({"epochs": 3}, "early_bird_epochs=3: must be less than epochs=3, as no training could "
         "stop before its end"),
        ({"engine": "stacked"}, "engine=stacked: must be auto, generic or fast with early_bird, as "
         "it trains all tickets to one end"),
    ],
)  # fmt: skip
def test_a_stop_that_cannot_be_is_refused(given: dict[str, Any], told: str) -> None:
    assert refusal(lambda: TicketSearchOptions.checked(**{**_OPTIONS, **given})) == told


def test_without_it_its_window_is_no_option() -> None:
    assert TicketSearchOptions.checked(early_bird_epochs=9).early_bird_epochs == 5
