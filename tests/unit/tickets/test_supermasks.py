"""Supermasks: tickets whose weights are not trained, and those that edge-popup finds."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from raylot import OptionError
from raylot.config import TicketSearchOptions
from raylot.config.ticket_options import PruningOptions
from raylot.foundation.names import SUPERMASK
from raylot.foundation.randomness import RandomKey
from raylot.masks.context import PruningContext
from raylot.masks.criteria import score
from raylot.masks.pruning import full_masks, prune, zero_pruned
from raylot.tasks import Task
from raylot.training import evaluate
from tests.support.tasks import random_task, small_network
from tests.unit.config.refused import refusal
from tests.unit.tickets.searches import begin_search, find


@pytest.mark.parametrize(
    ("criterion", "engine"),
    [("large_final_same_sign", "fast"), ("edge_popup", "stacked"), ("snip", "generic")],
)
def test_a_supermask_is_its_ticket_without_any_training(criterion: str, engine: str) -> None:
    search = begin_search(criterion=criterion, supermasks=2, engine=engine)
    while search.rounds_left:
        search.train_round()
    for ticket, (row, result) in enumerate(search.train_control(SUPERMASK)):
        network = small_network()
        zero_pruned(network, search.masks[ticket])
        found = evaluate(network, random_task())
        assert row["test_accuracy"] == found.accuracy
        assert row["test_loss"] == pytest.approx(found.loss)
        assert (row["ticket"], row["round"], row["density"]) == (ticket, 2, 0.5)
        assert result.steps == 0
        assert not result.diverged
    assert search.options.control_count == 1 + 2, "no training is counted"


def test_find_tickets_lists_them_beside_the_trained_tickets() -> None:
    found = find(small_network(), supermasks=2)
    assert len(found.supermask_accuracies) == 2
    assert found.summary()["supermask_accuracy"] == sum(found.supermask_accuracies) / 2
    assert find(small_network()).supermask_accuracies == []


def _one_step() -> tuple[torch.Tensor, torch.Tensor, PruningContext]:
    """A network of two weights of which one is kept, and one training step on one example.

    Returns the scores before and after that step, by hand, and the context.
    """
    network = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[2.0, -1.0], [0.5, 3.0]]))
    inputs, labels = torch.tensor([[1.0, 2.0]]), torch.tensor([0])
    task = Task(inputs, labels, inputs, labels, classes=2)
    masks = full_masks(network)
    key = RandomKey((5,))
    options = PruningOptions.checked(criterion="edge_popup", edge_popup_momentum=0)
    context = PruningContext(
        network, network.state_dict(), masks, task, key, 1, options=options, sparsity=0.5
    )
    generator = torch.Generator().manual_seed(key.child("network").torch_seed())
    drawn = torch.empty(2, 2).uniform_(-(2**-0.5), 2**-0.5, generator=generator)
    mask = torch.zeros(4).scatter(0, drawn.abs().flatten().topk(2).indices, 1).view(2, 2)
    weight = network.weight.detach()
    logits = inputs @ (weight * mask).T
    slope = (logits.softmax(1) - F.one_hot(labels, 2)).T @ inputs  # of the masked weights
    return drawn, drawn - 0.1 * slope * weight * drawn.sign(), context


def test_edge_popup_takes_the_step_of_the_paper() -> None:
    """s <- s - lr (p - y) x w sign(s), also for weights that the mask leaves out."""
    before, after, context = _one_step()
    weight = copy.deepcopy(context.network.state_dict())
    found = score("edge_popup", context)["weight"]
    torch.testing.assert_close(found, after.abs())
    assert bool((found != before.abs()).all())
    assert torch.equal(context.network.state_dict()["weight"], weight["weight"])


def test_edge_popup_learns_a_mask_that_beats_chance_untrained() -> None:
    """The four of eight weights are kept that raise the right logit or lower the other one."""
    network = nn.Linear(4, 2, bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[1.0, -1, 1, -1], [-1, 1, -1, 1]]))
    labels = torch.tensor([0, 1]).repeat(20)
    inputs = F.one_hot(labels, 2).float().repeat_interleave(2, 1)
    task = Task(inputs, labels, inputs, labels, classes=2)
    masks = full_masks(network)
    options = PruningOptions.checked(criterion="edge_popup")
    context = PruningContext(
        network, network.state_dict(), masks, task, RandomKey((0,)), 8, options=options, epochs=10,
        sparsity=0.5,
    )  # fmt: skip
    found = prune(score("edge_popup", context), masks, 0.5, 1, 1)["weight"]
    assert found.tolist() == [[True, False, False, True]] * 2


def test_the_training_of_scores_is_counted() -> None:
    for rounds in (1, 3):
        search = begin_search(criterion="edge_popup", rounds=rounds)
        search.train_round()
        # 40 examples in batches of 8, for 2 tickets
        assert search.scoring_steps == 2 * rounds * 5
        assert search.options.trainings == 2 * (2 + rounds) + 3
    other = begin_search(criterion="snip", rounds=3)
    other.train_round()
    assert other.scoring_steps == 0


def test_scores_that_diverge_are_told_in_one_line() -> None:
    context = _one_step()[2]
    context = replace(context, options=context.options.model_copy(update={"edge_popup_lr": 1000}))
    with torch.no_grad():  # any weight that is kept speaks for the wrong class
        context.network.get_parameter("weight").copy_(torch.tensor([[-1e37], [1e37]]).expand(2, 2))
    with pytest.raises(OptionError) as caught:
        score("edge_popup", context)
    assert str(caught.value) == "edge_popup_lr=1000: must be smaller, as scores are not finite"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"criterion": "edge_popup"}, "criterion=edge_popup: must go with masked=zero, as weights "
         "that stay at their values work in the network whatever their scores"),
        ({"supermasks": 1}, "supermasks=1: must be 0 with masked=freeze, as that network is the "
         "snapshot itself"),
    ],
)  # fmt: skip
def test_masks_that_change_nothing_are_refused(given: dict[str, Any], told: str) -> None:
    assert refusal(lambda: TicketSearchOptions.checked(masked="freeze", **given)) == told
