"""The library call: what it does to its arguments, and every option of it."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from raylot import OptionError, find_tickets, plugins
from raylot.config import OptimizerOptions, TicketSearchOptions
from raylot.config.parameters import parameters
from raylot.foundation.randomness import RandomKey
from raylot.masks.pruning import Masks, prune
from raylot.networks.prunable import prunable_weights
from raylot.training import train
from tests.support.tasks import random_task, small_network
from tests.unit.tickets import searches
from tests.unit.tickets.searches import find
from tests.unit.training.networks import with_batch_norm


def test_a_ticket_is_what_rewinding_and_pruning_by_hand_gives() -> None:
    """The search for ticket 0, written out: train, prune, rewind, each round from the snapshot."""
    task, snapshot = random_task(), small_network()
    options = OptimizerOptions(lr=0.01)
    masks: Masks = {n: torch.ones_like(w).bool() for n, w in prunable_weights(snapshot).items()}
    for r in (0, 1, 2):
        network = copy.deepcopy(snapshot)
        result = train(
            network, task, epochs=2, batch_size=8, optimizer=options,
            key=RandomKey((0, "tickets", "ticket", 0, "round", r)), masks=masks,
        )  # fmt: skip
        if r < 2:
            scores = {n: w.detach().abs() for n, w in prunable_weights(network).items()}
            masks = prune(scores, masks, 0.5, r + 1, 2)
    found = find(snapshot)
    assert all(torch.equal(found.masks[0][name], mask) for name, mask in masks.items())
    assert found.accuracies[0] == result.test_accuracy


def test_it_takes_every_option_of_a_search() -> None:
    options = {name for name in TicketSearchOptions.model_fields if name != "tickets"}
    own = {"network", "task", "count", "seed", "prune", "criterion_options"}
    found = set(inspect.signature(find_tickets).parameters)
    assert found == (options | own) - {"plugin_options", *parameters("criterion")}


def test_a_plugins_criterion_gets_its_own_options(tmp_path: Path) -> None:
    (tmp_path / "signed.py").write_text("""
from dataclasses import dataclass
from raylot import plugins

@dataclass
class Signed:
    sign: int = 1

@plugins.criterion("signed", options=Signed)
def signed(context):
    return {name: w * context.options.sign for name, w in context.weights.items()}
""")
    plugins.load(tmp_path / "signed.py")
    try:
        network = small_network()
        plain = find(network, criterion="signed")
        turned = find(network, criterion="signed", criterion_options={"sign": "-1"})
        again = find(network, criterion="signed", criterion_options={"sign": 1})
        with pytest.raises(OptionError, match=r"^criterion_options=lr: must be an option of crit"):
            find(network, criterion="signed", criterion_options={"lr": 1})
    finally:
        plugins.forget()
    for name, mask in plain.masks[0].items():
        assert torch.equal(mask, again.masks[0][name])
        assert not torch.equal(mask, turned.masks[0][name])


def test_the_network_given_is_left_unchanged() -> None:
    network = small_network()
    before = copy.deepcopy(network.state_dict())
    find(network, reinit_tickets=1)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert network.training


def test_the_number_of_threads_is_left_as_it_was() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        find(small_network())
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("masked", ["zero", "freeze"])
def test_masks_have_exactly_the_survivors_asked_for(masked: str) -> None:
    found = find(small_network(), sparsity=0.75, masked=masked)
    # 6 x 8 and 8 x 3 weights
    assert [int(m.sum()) for m in found.masks[0].values()] == [12, 6]
    assert found.density == pytest.approx(0.25)


def test_one_shot_and_the_output_layers_own_rate() -> None:
    found = find(small_network(), sparsity=0.75, rounds=1, output_rate=0.5)
    # one round removes 75% of the 48 weights, and half as much, 37.5%, of the output layer's 24
    assert [int(m.sum()) for m in found.masks[0].values()] == [12, 15]
    assert {row["round"] for row in found.rows} == {0, 1}


def test_tickets_differ_only_by_their_data_order() -> None:
    """With one batch that holds everything there is no order, and all tickets are the same."""
    found = find(small_network(), batch_size=1000)
    assert found.ticket_count == pytest.approx(1, abs=1e-6)
    assert found.overlaps()["jaccard"].tolist() == pytest.approx([1, 1, 1])
    assert find(small_network(), batch_size=2, epochs=10, lr=0.05).ticket_count > 1.01


def test_the_seed_decides() -> None:
    every = {"rewired_masks": 1, "reinit_tickets": 1, "criterion": "random", "rewind_steps": 2}
    assert find(small_network(), **every).rows == find(small_network(), **every).rows
    assert find(small_network()).rows != find(small_network(), seed=1).rows


def test_every_round_and_control_has_its_rows() -> None:
    found = find(small_network(), random_masks=2, rewired_masks=1, reinit_tickets=4)
    seen = [(row["control"], row["round"], row["ticket"]) for row in found.rows]
    assert seen == (
        [("dense", 0, k) for k in range(3)]
        + [("ticket", r, k) for r in (1, 2) for k in range(3)]
        + [("untrained", 2, 0)]
        + [("random", 2, k) for k in range(2)]
        + [("rewired", 2, 0)]
        + [("reinit", 2, k) for k in range(4)]
    )
    densities = [row["density"] for row in found.rows]
    # 72 weights in all: round 1 keeps round(48 * 0.707) + round(24 * 0.707) = 34 + 17
    assert densities == pytest.approx([1] * 3 + [51 / 72] * 3 + [0.5] * 3 + [0.5] * 8)
    assert [len(found.rewired_accuracies), len(found.reinit_accuracies)] == [1, 4]


def test_global_scope_keeps_the_total() -> None:
    found = find(small_network(), scope="global", sparsity=0.75)
    assert {sum(int(m.sum()) for m in mask.values()) for mask in found.masks} == {18}
    assert find(small_network(), scope="layer", sparsity=0.75).rows != found.rows


class _Counting(nn.Module):
    """Its output depends on how often it was trained, which its state dict does not say."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 3)
        self.register_buffer("passes", torch.ones(()), persistent=False)
        self.calls: list[int] = []

    def forward(self, inputs: Tensor) -> Tensor:
        if self.training:
            self.passes = self.passes + 1
            self.calls.append(len(inputs))
        outputs: Tensor = self.linear(inputs) * self.passes / (1 + 0.1 * len(self.calls))
        return outputs


@pytest.mark.parametrize("engine", ["auto", "generic"])
def test_every_training_starts_from_the_network_given(engine: str) -> None:
    """With one batch of everything and steps too small to see, all dense trainings are equal."""
    torch.manual_seed(0)
    network = _Counting()
    network.passes = network.passes + 4
    found = find(network, batch_size=40, lr=1e-9, epochs=1, reinit_tickets=1, engine=engine)
    dense = [row["train_loss"] for row in found.rows if row["control"] == "dense"]
    task = random_task()
    by_hand = nn.functional.cross_entropy(
        network.linear(task.scale(task.train_inputs)) * 6 / 1.1, task.train_labels
    )
    assert dense == pytest.approx([float(by_hand.detach())] * 3, rel=1e-5)
    assert (float(network.passes), network.calls) == (5, [])


@pytest.mark.parametrize("make", [_Counting, with_batch_norm])
def test_all_of_a_search_is_the_same_however_many_tickets_come_before(
    make: Callable[[], nn.Module],
) -> None:
    """Buffers, such as statistics of a norm, must not leak from one training into the next."""
    options = {"rewind_steps": 2, "rewired_masks": 1, "random_masks": 1}
    torch.manual_seed(0)
    network = make()
    one, three = (find(network, count=count, **options) for count in (1, 3))
    assert one.rows == [row for row in three.rows if row["ticket"] == 0]
    assert all(torch.equal(mask, three.masks[0][name]) for name, mask in one.masks[0].items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sparsity": 1.0}, r"sparsity=1\.0: must be .*\[0, 1\)"),
        ({"rounds": 0}, r"rounds=0: must be a whole number in \[1, 1000\]"),
        ({"count": 0}, r"tickets=0: must be"),
        ({"masked": "maybe"}, "masked=maybe: must be one of zero, freeze"),
        ({"momentum": 0.9}, r"momentum=0\.9: must be 0 unless optimizer is sgd"),
        ({"criterion": "size"}, "criterion=size: must be one of edge_popup, grasp"),
        ({"output_rate": 0.5, "scope": "global"}, r"output_rate=0\.5: must be 1 unless scope is"),
        ({"random_density": 0}, r"random_density=0: must be a number in \(0, 1\]"),
        ({"rewind_steps": -1}, "rewind_steps=-1: must be a whole number in"),
        ({"seed": -1}, "seed=-1: must be a whole number in"),
    ],
)
def test_bad_options_are_refused_in_one_line(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        find(small_network(), **options)
    assert "\n" not in str(caught.value)


def test_a_pair_of_inputs_and_labels_is_no_task() -> None:
    pair: Any = (torch.rand(9, 6), torch.zeros(9).long())
    with pytest.raises(OptionError, match=r"^task: must be a raylot\.Task, .* not a tuple$"):
        find_tickets(small_network(), pair, sparsity=0.5)


#: Passes of the trial on two examples that comes before any training: two steps, one evaluation.
_TRIAL = 3


class _Attending(nn.Module):
    """Attention over two tokens of three numbers; counts the forward passes of all copies."""

    calls: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1, 2, 3))
        self.attention = nn.MultiheadAttention(3, 1, batch_first=True)
        self.output = nn.Linear(6, 3)
        _Attending.calls = 0

    def forward(self, inputs: Tensor) -> Tensor:
        _Attending.calls += 1
        tokens = inputs.unflatten(1, (2, 3)) + self.place
        attended: Tensor = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        logits: Tensor = self.output(attended.flatten(1))
        return logits


def test_a_network_that_cannot_be_initialised_anew_is_refused_before_it_is_trained() -> None:
    network = _Attending()
    with pytest.raises(OptionError) as caught:
        find(network, reinit_tickets=2)
    assert str(caught.value) == (
        "reinit_tickets=2: must be 0 with this network, as _Attending has no reset_parameters() "
        "that draws its place anew"
    )
    assert network.calls == _TRIAL
    network.place.requires_grad_(False)
    assert len(find(network, reinit_tickets=2, prune="*").reinit_accuracies) == 2


def test_what_is_not_pruned_is_told_once_before_training() -> None:
    network = _Attending()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(
            UserWarning, match=r"prune= \(of find_tickets, .*\) chooses what is pruned"
        ) as caught:
            find(network)
    # place 6, in_proj 27, out_proj 9, output 18 weights
    assert str(caught.value).startswith(
        "not pruned: place, attention.in_proj_weight (55.0% of all weights)"
    )
    assert network.calls == _TRIAL + 1  # an evaluation of the network given
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = find(network)
    assert [str(warning.message) for warning in told] == [str(caught.value)]
    assert told[0].filename == searches.__file__  # where it was called
    assert list(found.masks[0]) == ["attention.out_proj.weight", "output.weight"]
    assert found.left_out == {"place": 6, "attention.in_proj_weight": 27}
    assert found.prunable_share == pytest.approx(27 / 60)
    assert found.density == pytest.approx(13 / 27)  # 4 of 9 and 9 of 18


@pytest.mark.parametrize("place", ["weights", "outputs"])
def test_a_network_that_begins_without_a_finite_loss_is_told_once(place: str) -> None:
    network = small_network()
    assert isinstance(network, nn.Sequential)
    if place == "weights":
        network[2].weight.detach()[0, 0] = torch.nan
    else:
        network.register_forward_hook(lambda module, inputs, outputs: outputs / 0)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        find(network, engine="generic")
    assert [str(warning.message) for warning in told] == [
        "the network's loss on the task's test split is not finite before any training"
    ]


@pytest.mark.parametrize("masked", ["zero", "freeze"])
def test_attention_and_recurrent_weights_are_pruned_like_all_others(masked: str) -> None:
    """Chosen weights end at 0, or where they began, bit for bit."""
    network = _Attending()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # who chooses need not be told
        found = find(network, masked=masked, prune=["*in_proj_weight", "output.*"])
    assert {n: int(m.sum()) for n, m in found.masks[0].items()} == {
        "attention.in_proj_weight": 14, "output.weight": 9,
    }  # fmt: skip
    assert found.prunable_share == pytest.approx(45 / 60)
    ticket = copy.deepcopy(network)
    train(
        ticket, random_task(), epochs=2, batch_size=8, optimizer=OptimizerOptions(lr=0.01),
        key=RandomKey((1,)), masks=found.masks[0], masked=masked,
    )  # fmt: skip
    for name, mask in found.masks[0].items():
        before, after = network.get_parameter(name), ticket.get_parameter(name)
        kept = before if masked == "freeze" else torch.zeros_like(before)
        assert torch.equal(after[~mask], kept[~mask])
        assert not torch.equal(after[mask], before[mask])


def test_a_layer_that_is_pruned_away_is_told_once() -> None:
    # 72 weights, of which round(0.72) = 1 stays: one of the two layers has none.
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = find(small_network(), sparsity=0.99, scope="global", count=2)
    empty = [{name for name, mask in masks.items() if not mask.any()} for masks in found.masks]
    assert [str(warning.message) for warning in told] == [
        f"{name}: pruned away entirely in {count} of 2 tickets"
        for name in found.masks[0]
        if (count := sum(name in names for names in empty))
    ]
    assert sum(map(len, empty)) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        find(small_network())


def test_rounds_left_out_remove_a_fifth_of_the_survivors_each() -> None:
    found = find(small_network(), rounds=None, sparsity=0.5, epochs=1, count=1)
    assert max(row["round"] for row in found.rows) == 3  # 0.8^3 = 0.512
