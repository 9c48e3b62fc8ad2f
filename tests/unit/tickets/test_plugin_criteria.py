"""SNIP and Taylor as plugins, their masks by hand, and the engine that trains for them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raylot import OptionError, plugins
from raylot.foundation.randomness import RandomKey
from raylot.masks.pruning import full_masks, prune
from raylot.training import Masks
from tests.support.tasks import random_task, small_network
from tests.unit.config.refused import refusal
from tests.unit.tickets.searches import begin_search, find

_SNIP = """
import torch
from torch.nn import functional as F
from raylot import plugins

@plugins.criterion("own_snip")
def own_snip(context):
    context.network.load_state_dict(context.start)
    weights = {name: context.network.get_parameter(name) for name in context.masks}
    inputs, labels = next(context.batches())
    loss = F.cross_entropy(context.network(inputs), labels)
    slopes = torch.autograd.grad(loss, list(weights.values()))
    return {name: (slope * w).abs() for (name, w), slope in zip(weights.items(), slopes)}
"""

_TAYLOR = """
from raylot import plugins

@plugins.criterion("own_taylor", gradients=True)
def own_taylor(context):
    return {name: mean.abs() for name, mean in context.gradients.products.items()}
"""


@pytest.fixture(autouse=True)
def loaded(tmp_path: Path) -> Iterator[None]:
    for name, source in (("own_snip", _SNIP), ("own_taylor", _TAYLOR)):
        assert len(source.split("\n\n")[1].splitlines()) < 15
        (tmp_path / f"{name}.py").write_text(source)
        plugins.load(tmp_path / f"{name}.py")
    yield
    plugins.forget()


def _assert_equal(found: Masks, expected: Masks) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], mask) for name, mask in expected.items())


def _by_hand(network: nn.Module, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Gradients of the mean cross-entropy of Linear, ReLU, Linear, by the chain rule."""
    first, out = network.get_parameter("0.weight"), network.get_parameter("2.weight")
    with torch.no_grad():
        before = inputs @ first.T + network.get_parameter("0.bias")
        hidden = before.clamp(min=0)
        logits = hidden @ out.T + network.get_parameter("2.bias")
        error = (logits.softmax(1) - F.one_hot(labels, logits.shape[1])) / len(labels)
        back = (error @ out) * (before > 0)
        return {
            "0.weight": back.T @ inputs, "0.bias": back.sum(0),
            "2.weight": error.T @ hidden, "2.bias": error.sum(0),
        }  # fmt: skip


def _order(key: RandomKey) -> Tensor:
    return torch.from_numpy(key.generator().permutation(40))


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_snip_prunes_once_by_gradient_times_weight_at_the_start(scope: str) -> None:
    found = find(small_network(), criterion="own_snip", rounds=1, sparsity=0.75, scope=scope)
    network, task = small_network(), random_task()
    for ticket in range(3):
        key = RandomKey((0, "tickets", "ticket", ticket, "round", 0, "criterion", "batches"))
        batch = _order(key)[:8]
        slopes = _by_hand(network, task.train_inputs[batch].float(), task.train_labels[batch])
        masks = full_masks(network)
        scores = {name: (slopes[name] * network.get_parameter(name)).abs() for name in masks}
        _assert_equal(found.masks[ticket], prune(scores, masks, 0.75, 1, 1, scope))
    assert {row["round"] for row in found.rows} == {0, 1}
    assert found.ticket_count > 1.01, "each ticket has a batch of its own"


def test_taylor_prunes_by_the_mean_of_gradient_times_weight_over_each_training() -> None:
    options = {"optimizer": "sgd", "lr": 0.02, "criterion": "own_taylor", "sparsity": 0.75}
    found = find(small_network(), **options)
    task, masks = random_task(), full_masks(small_network())
    for r in (0, 1):
        network = small_network()
        sums = {name: torch.zeros_like(mask, dtype=torch.float32) for name, mask in masks.items()}
        with torch.no_grad():
            for name, mask in masks.items():
                network.get_parameter(name).mul_(mask)
            for epoch in (0, 1):
                key = RandomKey((0, "tickets", "ticket", 0, "round", r, "epoch", epoch))
                for batch in _order(key).split(8):
                    inputs, labels = task.train_inputs[batch].float(), task.train_labels[batch]
                    for name, slope in _by_hand(network, inputs, labels).items():
                        weight = network.get_parameter(name)
                        if name in masks:
                            sums[name] += slope * weight
                            slope *= masks[name]
                        weight -= 0.02 * slope
        masks = prune({n: total.abs() for n, total in sums.items()}, masks, 0.75, r + 1, 2)
    _assert_equal(found.masks[0], masks)


@pytest.mark.parametrize("criterion", ["own_taylor", "own_snip"])
def test_the_fast_engine_trains_all_rounds(criterion: str) -> None:
    search = begin_search(criterion=criterion)
    assert [{of.engine for _, of in search.train_round()} for _ in range(3)] == [{"fast"}] * 3


def test_plastic_parameters_are_those_of_any_other_search() -> None:
    found = []
    for criterion in ("own_taylor", "magnitude"):
        search = begin_search(criterion=criterion, engine="generic")
        search.train_round()
        first = copy.deepcopy(search.gradient_magnitudes)
        assert first is not None
        search.train_round()
        assert search.gradient_magnitudes is not None
        _assert_equal(search.gradient_magnitudes, first)
        found.append(first)
    _assert_equal(*found)


@pytest.mark.parametrize("criterion", ["own_taylor", "own_snip"])
def test_a_stacked_search_finds_what_one_after_another_finds(criterion: str) -> None:
    stacked, alone = (
        find(small_network(), criterion=criterion, engine=engine).masks
        for engine in ("stacked", "generic")
    )
    for found, expected in zip(stacked, alone, strict=True):
        _assert_equal(found, expected)


def test_equal_scores_go_by_index(tmp_path: Path) -> None:
    source = "from raylot import plugins\nplugins.criterion('equal')(lambda context: {})\n"
    equal = "{n: 0 * w for n, w in context.weights.items()}"
    (tmp_path / "equal.py").write_text(source.replace("{}", equal))
    plugins.load(tmp_path / "equal.py")
    masks = find(small_network(), criterion="equal").masks[0]
    assert masks["0.weight"].flatten().tolist() == [False] * 24 + [True] * 24
    assert masks["2.weight"].flatten().tolist() == [False] * 12 + [True] * 12


def test_wrong_scores_and_unknown_names_are_refused_in_one_line(tmp_path: Path) -> None:
    source = "from raylot import plugins\nplugins.criterion('empty')(lambda context: {})\n"
    (tmp_path / "empty.py").write_text(source)
    plugins.load(tmp_path / "empty.py")
    network = small_network()
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(OptionError) as caught:
        find(network, criterion="empty")
    assert str(caught.value) == (
        "criterion empty: must return scores by the names 0.weight, 2.weight; 0.weight is missing"
    )
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    message = refusal(lambda: find(network, criterion="tailor"))
    assert message.startswith("criterion=tailor: must be one of edge_popup, grasp, ")
    assert "taylor, own_snip, own_taylor, empty; did you mean taylor?; --plugin" in message
