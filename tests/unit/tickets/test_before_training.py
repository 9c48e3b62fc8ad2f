"""Searches by criteria that score before any training: what they train, and what they prune."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from raylot import OptionError, plugins
from raylot.config import Study, TicketSearchOptions, TicketsRun, customary_rounds
from raylot.foundation.names import BUILT_IN
from raylot.foundation.randomness import RandomKey
from raylot.masks.context import PruningContext
from raylot.masks.criteria import score
from raylot.masks.pruning import full_masks, prune, zero_pruned
from raylot.training import Masks
from tests.support.tasks import random_task, small_network
from tests.unit.config.refused import refusal
from tests.unit.tickets.searches import begin_search, find

BEFORE = ("snip", "grasp", "synflow", "large_init", "small_init")


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    plugins.forget()


def _equal(one: Masks, other: Masks) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@pytest.mark.parametrize("criterion", BUILT_IN["criterion"])
def test_each_criterion_prunes_once_and_the_count_is_exact(criterion: str) -> None:
    """Of 48 and 24 weights, 36 and 18 are removed."""
    search = begin_search(criterion=criterion, rounds=1, sparsity=0.75)
    rows = [row for _ in range(search.rounds_left) for row, _ in search.train_round()]
    assert [(row["control"], row["round"]) for row in rows] == [("dense", 0)] * 2 + [
        ("ticket", 1)
    ] * 2
    assert search.rounds_left == 0
    for masks in search.masks:
        assert [int(mask.sum()) for mask in masks.values()] == [12, 6]


@pytest.mark.parametrize("criterion", BEFORE)
def test_rounds_train_nothing_before_the_last(criterion: str) -> None:
    search = begin_search(criterion=criterion, rounds=5)
    assert search.rounds_left == 2
    found = [[row for row, _ in search.train_round()] for _ in range(2)]
    assert [{row["round"] for row in rows} for rows in found] == [{0}, {5}]
    assert [{row["density"] for row in rows} for rows in found] == [{1.0}, {0.5}]
    assert search.options.trainings == 2 * 2 + 1 + 2
    assert (search.rounds_left, search.round) == (0, 6)


@pytest.mark.parametrize("criterion", BEFORE)
def test_the_dense_networks_are_those_of_any_other_search(criterion: str) -> None:
    rows = [
        [row for row, _ in begin_search(criterion=c).train_round()] for c in (criterion, "movement")
    ]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("masked", ["zero", "freeze"])
@pytest.mark.parametrize("criterion", ["snip", "grasp", "synflow"])
def test_each_round_scores_the_survivors_of_the_one_before(criterion: str, masked: str) -> None:
    """The same rounds taken by hand, from the weights at the start."""
    search = begin_search(criterion=criterion, rounds=3, sparsity=0.75, masked=masked)
    search.train_round()
    for ticket in (0, 1):
        masks = full_masks(small_network())
        for r in range(3):
            network = small_network().train()
            start = {name: value.clone() for name, value in network.state_dict().items()}
            if masked == "zero":
                zero_pruned(network, masks)
            key = RandomKey((3, "ticket", ticket, "round", r, "criterion"))
            context = PruningContext(network, start, masks, random_task(), key, 8)
            pruned = prune(score(criterion, context), masks, 0.75, r + 1, 3)
            assert all(bool((masks[name] >= pruned[name]).all()) for name in masks), "not nested"
            masks = pruned
        assert _equal(search.masks[ticket], masks)
    once = begin_search(criterion=criterion, rounds=1, sparsity=0.75, masked=masked)
    once.train_round()
    assert not _equal(once.masks[0], search.masks[0])


@pytest.mark.parametrize("criterion", BEFORE)
def test_a_ticket_depends_on_its_own_number_alone(criterion: str) -> None:
    whole, second = (begin_search(criterion=criterion) for _ in range(2))
    second.tickets = range(1, 2)
    found = [[[row for row, _ in s.train_round()] for _ in range(2)] for s in (whole, second)]
    assert found[1] == [[rows[1]] for rows in found[0]]
    assert _equal(whole.masks[1], second.masks[1])
    # Only a batch of its own can make a ticket another one.
    assert _equal(whole.masks[0], whole.masks[1]) == (criterion not in ("snip", "grasp"))


@pytest.mark.parametrize(
    ("criterion", "rounds"),
    [
        ("snip", 1),
        ("grasp", 1),
        ("synflow", 100),
        ("large_init", 1),
        ("magnitude", 7),
        ("taylor", 7),
    ],
)
def test_rounds_that_are_not_given_are_those_of_the_criterions_authors(
    criterion: str, rounds: int
) -> None:
    assert customary_rounds(0.8, criterion) == rounds
    chosen = TicketSearchOptions.checked(sparsity=0.8, criterion=criterion)
    assert chosen.rounds == rounds
    assert TicketSearchOptions.checked(criterion=criterion, rounds=3).rounds == 3


_OWN = """
import torch
from raylot import plugins

@plugins.criterion("own_init", before_training=True, rounds=4)
def own_init(context):
    return {name: context.network.get_parameter(name).abs() for name in context.masks}
"""


def test_a_plugins_criterion_can_score_before_training_too(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(_OWN)
    plugins.load(tmp_path / "own.py")
    found = find(small_network(), criterion="own_init", rounds=None, sparsity=0.75)
    assert {row["round"] for row in found.rows if row["control"] == "ticket"} == {4}
    assert len([row for row in found.rows if row["control"] == "ticket"]) == 3
    assert all(_equal(masks, own) for masks, own in zip(found.masks, found.untrained, strict=True))
    assert TicketSearchOptions.checked(criterion="own_init", tickets=3).trainings == 6 + 1 + 3


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"gradients": True}, "criterion mine: must go without gradients=True with "
         "before_training=True, as only a training measures mean gradients"),
        ({"rounds": 0}, "criterion mine: rounds=0: must be a whole number in [1, 1000]"),
        ({"rounds": True}, "criterion mine: rounds=True: must be a whole number in [1, 1000]"),
    ],
)  # fmt: skip
def test_traits_that_contradict_each_other_are_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError) as caught:
        plugins.criterion("mine", before_training=True, **given)
    assert str(caught.value) == told


def test_find_tickets_takes_the_options_of_a_built_in_criterion() -> None:
    masks = [
        find(small_network(), criterion="snip", rounds=1, criterion_options=own).masks
        for own in ({}, {"examples_per_class": 10}, {"examples_per_class": 2})
    ]
    assert _equal(masks[0][0], masks[1][0])
    assert not _equal(masks[0][0], masks[2][0])
    told = "criterion_options=examples_per_class: must be an option of criterion magnitude"
    own = {"examples_per_class": 2}
    assert refusal(lambda: find(small_network(), criterion_options=own)) == told


@pytest.mark.parametrize("options", [TicketsRun, Study])
def test_synflow_is_refused_where_attention_stops_the_flow(options: Any) -> None:
    assert refusal(lambda: options.checked(criterion="synflow", network="vit")) == (
        "criterion=synflow: must be another with network vit, as the softmax of its attention "
        "stops the synaptic flow"
    )
    assert options.checked(criterion="synflow", network="mlp").criterion == "synflow"
    assert options.checked(criterion="snip", network="vit").criterion == "snip"
