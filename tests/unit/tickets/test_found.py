"""What was found: which tickets win, how many are distinct, and masks as files keep them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from raylot.config import TicketSearchOptions
from raylot.tickets import Tickets, masks_from_tensors, masks_to_tensors


def _tickets(
    accuracies: Sequence[float], *, dense: Sequence[float], random: Sequence[float] = (),
    rewired: Sequence[float] = (), reinit: Sequence[float] = (), untrained: Sequence[float] = (),
    supermask: Sequence[float] = (), **options: object,
) -> Tickets:  # fmt: skip
    """Tickets with masks that have nothing in common, put together from rows."""
    masks = [{"w": torch.tensor([k == i for i in range(4)])} for k in range(len(accuracies))]
    trainings = {
        ("dense", 0): dense, ("ticket", 1): accuracies, ("random", 1): random,
        ("rewired", 1): rewired, ("untrained", 1): untrained, ("reinit", 1): reinit,
        ("supermask", 1): supermask,
    }  # fmt: skip
    rows = [
        {"control": control, "round": round_index, "ticket": k, "test_accuracy": accuracy,
         "test_examples": 10_000}
        for (control, round_index), found in trainings.items()
        for k, accuracy in enumerate(found)
    ]  # fmt: skip
    chosen = TicketSearchOptions.checked(tolerance=0.02, **options)
    return Tickets.from_rows(masks, rows, chosen)


#: Random masks that no ticket here fails to beat: mean 0.1, standard deviation 0.01.
_WORSE = (0.09, 0.1, 0.11)


def test_a_ticket_wins_if_it_keeps_up_with_the_dense_network_and_beats_random_masks() -> None:
    found = _tickets([0.89, 0.88, 0.87, 0.95], dense=[0.88, 0.92], random=_WORSE)
    assert found.wins == [True, True, False, True]  # at least 0.90 - 0.02
    assert found.winning_ticket_count == pytest.approx(3)
    assert found.ticket_count == pytest.approx(4)
    # the limit is 0.85 + 2.92 * 0.01 * sqrt(4 / 3) = 0.8837
    found = _tickets([0.89, 0.88], dense=[0.9], random=[0.84, 0.85, 0.86])
    assert found.wins == [True, False]
    assert _tickets([0.5], dense=[0.9], random=_WORSE).winning_ticket_count == 0


def test_a_rewired_mask_and_an_untrained_one_decide_nothing() -> None:
    """They have more of the ticket than its densities."""
    found = _tickets([0.95], dense=[0.9], random=_WORSE, rewired=[0.99], untrained=[0.99])
    assert found.wins == [True]


def test_random_masks_of_another_density_decide_nothing() -> None:
    """They say nothing about whether the ticket's own weights matter."""
    found = _tickets([0.95], dense=[0.9], random=_WORSE, random_density=0.5)
    assert found.wins is None
    assert found.winning_ticket_count is None
    assert found.random_accuracies == [*_WORSE]


def test_a_reinitialised_ticket_decides_nothing() -> None:
    assert _tickets([0.95], dense=[0.9], random=_WORSE, reinit=[0.99]).wins == [True]


def test_what_diverged_neither_wins_nor_is_hard_to_beat() -> None:
    nan = float("nan")
    found = _tickets([nan, 0.9], dense=[0.9], random=[nan, *_WORSE])
    assert found.wins == [False, True]
    assert _tickets([0.9], dense=[nan], random=_WORSE).wins == [False]
    assert _tickets([0.9], dense=[0.9], random=[nan, 0.1, 0.1]).wins is None


def test_tickets_print_as_one_short_line() -> None:
    end = "density 0.25; accuracy 0.800, dense 0.800)"
    found = _tickets([0.9, 0.7], dense=[0.8, 0.8], random=_WORSE)
    assert repr(found) == f"Tickets(2, of which 1 win; {end}"
    assert repr(_tickets([0.9, 0.7], dense=[0.8, 0.8])) == f"Tickets(2, not judged; {end}"


def test_the_summary_is_means_by_hand() -> None:
    found = _tickets(
        [0.9, 0.7],
        dense=[0.6, 0.8],
        random=[0.1, 0.2, 0.3],
        rewired=[0.2],
        reinit=[0.4, 0.6],
        untrained=[0.5],
        supermask=[0.3, 0.5],
    )
    summary = found.summary()
    assert {name: summary[name] for name in summary if name.endswith("accuracy")} == {
        "dense_accuracy": pytest.approx(0.7),
        "ticket_accuracy": pytest.approx(0.8),
        "untrained_accuracy": pytest.approx(0.5),
        "random_accuracy": pytest.approx(0.2),
        "rewired_accuracy": pytest.approx(0.2),
        "reinit_accuracy": pytest.approx(0.5),
        "supermask_accuracy": pytest.approx(0.4),
    }
    # 1 of 4 weights each, none in common; by chance 1/16 of 4 weights, of 2 - 1/4
    assert summary["density"] == 0.25
    assert summary["overlap_mean"] == 0
    assert summary["overlap_chance"] == pytest.approx(0.25 / 1.75)
    assert (summary["tickets"], summary["winning_tickets"]) == (2, 2)


def test_masks_come_back_from_a_file_in_the_order_of_layers() -> None:
    """A file keeps no order, but the output layer is the last."""
    names = ["hidden10.weight", "hidden2.weight", "output.weight", "block.weight"]
    masks = [{name: torch.rand(3, 2) < 0.5 for name in names} for _ in range(11)]
    tensors = masks_to_tensors(dict(enumerate(masks)))
    for order in (sorted(tensors), sorted(tensors, reverse=True)):
        again = masks_from_tensors({name: tensors[name] for name in order}, like=masks[0])
        assert list(again) == list(range(11))
        assert [list(m) for m in again.values()] == [names] * 11
        assert all(torch.equal(again[k][name], masks[k][name]) for k in range(11) for name in names)
