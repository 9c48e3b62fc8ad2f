"""The search round by round: what is rewound to what, its controls, and continuing it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from raylot.config import OptimizerOptions
from raylot.foundation.names import RANDOM, REINIT, REWIRED, UNTRAINED
from raylot.foundation.randomness import RandomKey
from raylot.tickets import TicketSearch, masks_from_tensors, masks_to_tensors, search
from raylot.training import Masks, TrainingJob, TrainingResult, train, train_all
from tests.support.tasks import random_task, small_network
from tests.unit.tickets.searches import begin_search

#: Of a training: the network's state before it and after it, and its masks.
Trained = tuple[dict[str, Tensor], dict[str, Tensor], Masks | None]


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[Trained]:
    """Every training of a search, as it happens."""
    seen: list[Trained] = []

    def watched(jobs: Sequence[TrainingJob], engine: str) -> list[TrainingResult]:
        before = [copy.deepcopy(job.network.state_dict()) for job in jobs]
        results = train_all(jobs, engine)
        after = [copy.deepcopy(job.network.state_dict()) for job in jobs]
        seen.extend(zip(before, after, (job.masks for job in jobs), strict=True))
        return results

    monkeypatch.setattr(search, "train_all", watched)
    return seen


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(one[name], tensor) for name, tensor in other.items())


def _run(found: TicketSearch) -> None:
    while found.rounds_left:
        found.train_round()
    for control in found.controls:
        found.train_control(control)


def test_every_training_starts_from_the_snapshot(trainings: list[Trained]) -> None:
    found = begin_search(rewired_masks=1)
    _run(found)
    snapshot = small_network().state_dict()
    assert len(trainings) == 2 * 3 + 1 + 2 + 1
    assert all(_equal(before, snapshot) for before, _, _ in trainings)


@pytest.mark.parametrize("masked", ["zero", "freeze"])
def test_pruned_weights_end_at_zero_or_where_they_began(
    trainings: list[Trained], masked: str
) -> None:
    _run(begin_search(masked=masked, rewind_steps=3, weight_decay=0.1, rewired_masks=1))
    checked = 0
    for before, after, masks in trainings:
        for name, mask in (masks or {}).items():
            kept = before[name] if masked == "freeze" else torch.zeros_like(before[name])
            assert torch.equal(after[name][~mask], kept[~mask])
            assert not torch.equal(after[name][mask], before[name][mask])
            checked += int((~mask).sum())
    # 21 (34 and 17 of 48 and 24 stay) in round 1, then 36 of 72 weights: 2 tickets in 2 rounds,
    # 1 untrained, 2 random and 1 rewired mask
    assert checked == 2 * 21 + 2 * 36 + 4 * 36


@pytest.mark.parametrize("shape", [{}, {"schedule": "cosine", "warmup": 0.5}], ids=str)
def test_rewinding_goes_to_the_state_after_so_many_steps(
    trainings: list[Trained], shape: dict[str, Any]
) -> None:
    """The same steps taken by hand: a dense training of the ticket's own, stopped after three.

    They follow the beginning of the whole training's schedule.
    """
    found = begin_search(rewind_steps=3, untrained_masks=0, reinit_tickets=1, **shape)
    _run(found)
    assert found.rewinding_steps == 2 * 3
    for ticket in (0, 1):
        network = small_network()
        key = RandomKey((3, "ticket", ticket, "rewind"))
        train(
            network, random_task(), epochs=1, batch_size=8, key=key, max_steps=3,
            optimizer=OptimizerOptions(lr=0.01, **shape),
        )  # fmt: skip
        start = network.state_dict()
        assert not _equal(start, small_network().state_dict())
        assert _equal(found.start_state(ticket), start)
        # each was rewound once per round; controls are built like the tickets in turn
        of_ticket = [before for before, _, _ in trainings if _equal(before, start)]
        assert len(of_ticket) == 3 + 1


def test_the_reinitialised_control_has_the_tickets_masks_and_other_weights(
    trainings: list[Trained],
) -> None:
    found = begin_search(random_masks=0, reinit_tickets=3)
    _run(found)
    controls = trainings[-3:]
    for index, (before, _, masks) in enumerate(controls):
        assert masks is found.masks[index % 2]
        assert all(not torch.equal(before[n], w) for n, w in small_network().state_dict().items())
    assert not _equal(controls[0][0], controls[2][0]), "one fresh draw for all"


def test_untrained_masks_keep_the_largest_weights_that_their_ticket_starts_from() -> None:
    """By hand: of 48 and 24 weights the 24 and 12 with the largest |w| after three steps."""
    found = begin_search(rewind_steps=3, untrained_masks=2)
    _run(found)
    for ticket in (0, 1):
        start = found.start_state(ticket)
        masks = found.control_masks(UNTRAINED, ticket)
        assert _equal(masks, found.untrained_masks(ticket))
        for name, mask in masks.items():
            assert int(mask.sum()) == int(found.masks[ticket][name].sum())
            assert start[name][mask].abs().min() > start[name][~mask].abs().max()
    assert not _equal(found.untrained_masks(0), found.untrained_masks(1))


def test_controls_keep_each_layers_count_and_nothing_else_of_the_ticket() -> None:
    found = begin_search(rewired_masks=1)
    _run(found)
    for control in (RANDOM, REWIRED):
        masks = found.control_masks(control, 1)
        ticket = found.masks[1]
        assert [int(m.sum()) for m in masks.values()] == [24, 12]
        assert not _equal(masks, ticket)
        assert not _equal(masks, found.control_masks(control, 3)), "each index draws its own"
    assert found.control_masks(REINIT, 1) is found.masks[1]


def test_rewired_masks_keep_each_units_degrees_in_their_ticket() -> None:
    found = begin_search(rewired_masks=2)
    _run(found)
    for ticket in (0, 1):
        for name, mask in found.control_masks(REWIRED, ticket).items():
            for direction in (0, 1):
                own = found.masks[ticket][name]
                assert torch.equal(mask.sum(direction), own.sum(direction))


def test_random_masks_of_a_density_of_their_own() -> None:
    found = begin_search(random_density=0.9)
    _run(found)
    kept = sum(int(m.sum()) for m in found.control_masks(RANDOM, 0).values())
    # 72 * 0.9 = 64.8, standard deviation 2.5, where the ticket keeps 36
    assert abs(kept - 64.8) < 5 * 2.5


def test_criteria_prune_differently() -> None:
    masks = {}
    for criterion in ("magnitude", "magnitude_increase", "movement", "random"):
        found = begin_search(criterion=criterion)
        found.train_round()
        masks[criterion] = found.masks[0]
    for name, chosen in masks.items():
        assert [int(m.sum()) for m in chosen.values()] == [34, 17]
        assert sum(_equal(chosen, other) for other in masks.values()) == 1, name


def test_gradients_are_measured_in_the_first_tickets_dense_training() -> None:
    found = begin_search()
    assert found.gradient_magnitudes is None
    _run(found)
    expected = train(
        small_network(), random_task(), epochs=1, batch_size=8,
        optimizer=OptimizerOptions(lr=0.01), key=RandomKey((3, "ticket", 0, "round", 0)),
        gradient_magnitudes=True,
    ).gradient_magnitudes  # fmt: skip
    assert expected is not None
    assert found.gradient_magnitudes is not None
    assert list(found.gradient_magnitudes) == list(found.masks[0])
    assert _equal(expected, found.gradient_magnitudes)


def test_gradients_on_another_task_replace_them() -> None:
    found = begin_search()
    found.train_round()
    before = found.gradient_magnitudes
    result = found.measure_gradients(random_task(seed=1))
    assert before is not None
    assert result.gradient_magnitudes is not None
    assert found.gradient_magnitudes is not None
    assert not _equal(found.gradient_magnitudes, before)
    assert _equal(result.gradient_magnitudes, found.gradient_magnitudes)


@pytest.mark.parametrize(
    "options", [{}, {"rewind_steps": 2, "output_rate": 0.5, "criterion": "movement"}]
)
def test_a_search_continued_from_its_masks_ends_the_same(options: dict[str, object]) -> None:
    whole, first, second = (begin_search(**options) for _ in range(3))
    rows = [[row for row, _ in whole.train_round()] for _ in range(3)]
    first.train_round()
    saved = masks_to_tensors(dict(enumerate(first.masks)))
    second.masks = [*masks_from_tensors(saved, like=second.masks[0]).values()]
    second.round = 1
    assert [[row for row, _ in second.train_round()] for _ in range(2)] == rows[1:]
    assert second.rounds_left == 0
