"""A search ends the same whichever engine trains it, up to rounding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from raylot.tickets import TicketSearch
from raylot.training import TrainingResult
from tests.support.tasks import small_network
from tests.unit.config.refused import refusal
from tests.unit.tickets.searches import begin_search, find

#: Of a row; all but these must be the same to the last bit.
_MEASURES = ("train_loss", "online_accuracy", "test_loss", "test_accuracy")


def _run(search: TicketSearch) -> tuple[list[dict[str, Any]], list[TrainingResult]]:
    """Searches to the end, controls included."""
    trained = []
    while search.rounds_left:
        trained += search.train_round()
    for control in search.controls:
        trained += search.train_control(control)
    return [row for row, _ in trained], [result for _, result in trained]


def _assert_alike(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert {k: v for k, v in one.items() if k not in _MEASURES} == {
            k: v for k, v in other.items() if k not in _MEASURES
        }
        for name in _MEASURES:
            # Of 20 examples one may lie on the border of two classes.
            least = 0.051 if name == "test_accuracy" else 1e-5
            assert one[name] == pytest.approx(other[name], rel=1e-4, abs=least)


@pytest.mark.parametrize("masked", ["zero", "freeze"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rewind_steps": 3, "rewired_masks": 3, "reinit_tickets": 3, "tickets": 3, "rounds": 4},
        {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.01, "criterion": "movement"},
        {"scope": "global", "random_masks": 5, "random_density": 0.4, "batch_size": 16},
    ],
    ids=lambda options: "+".join(options) or "plain",
)
def test_a_stacked_search_finds_what_one_after_another_finds(
    options: dict[str, Any], masked: str
) -> None:
    stacked, alone = (
        begin_search(**options, masked=masked, epochs=3, engine=engine)
        for engine in ("stacked", "generic")
    )
    (rows, results), (expected, alone_results) = _run(stacked), _run(alone)
    assert {result.engine for result in results} == {"stacked"}
    assert {result.engine for result in alone_results} == {"generic"}
    _assert_alike(rows, expected)
    for found, other in zip(stacked.masks, alone.masks, strict=True):
        assert found.keys() == other.keys()
        assert all(torch.equal(found[name], mask) for name, mask in other.items())
    assert stacked.rewinding_steps == alone.rewinding_steps
    assert stacked.gradient_magnitudes is not None
    assert alone.gradient_magnitudes is not None
    torch.testing.assert_close(
        stacked.gradient_magnitudes, alone.gradient_magnitudes, rtol=1e-4, atol=1e-6
    )


def test_a_network_not_for_the_engine_named_is_refused() -> None:
    assert refusal(lambda: find(_with_tanh(), engine="fast")) == (
        "engine=fast: must be auto or generic here, "
        "as it is for chains of linear layers with ReLU between them"
    )
    with_dropout = nn.Sequential(nn.Linear(6, 8), nn.Dropout(), nn.Linear(8, 3))
    assert refusal(lambda: find(with_dropout, engine="stacked")) == (
        "engine=stacked: must be auto or generic here, because of "
        "a network with dropout or another operation that torch.vmap does not take"
    )
    assert refusal(lambda: find(small_network(), engine="quick")).startswith("engine=quick: must")


def _with_tanh() -> nn.Module:
    first, _, last = small_network().children()
    return nn.Sequential(first, nn.Tanh(), last)
