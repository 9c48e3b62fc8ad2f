"""Criteria that look at a network and its examples, by hand on the smallest networks."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.backends import cudnn

from raylot.config.ticket_options import PruningOptions
from raylot.foundation.randomness import RandomKey
from raylot.masks.context import MeanGradients, PruningContext
from raylot.masks.criteria import score
from raylot.networks.activations import CReLU, Fourier
from raylot.tasks import Task
from tests.support.tasks import random_task

_KEY = RandomKey((0,))

_ALL_KEPT = [[True, True], [True, True]]


def _on_two_classes(
    network: nn.Module, kept: dict[str, list[list[bool]]], **options: Any
) -> PruningContext:
    """Training examples (1, 0) of class 0 and (0, 1) of class 1, 20 of each."""
    inputs, labels = torch.eye(2).repeat(20, 1), torch.tensor([0, 1]).repeat(20)
    task = Task(inputs, labels, inputs, labels, classes=2)
    masks = {name: torch.tensor(mask) for name, mask in kept.items()}
    pruning = PruningOptions.checked(**options)
    return PruningContext(network, network.state_dict(), masks, task, _KEY, 4, options=pruning)


def _linear(weight: list[list[float]]) -> nn.Linear:
    network = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.tensor(weight))
    return network


@pytest.mark.parametrize("per_class", [1, 10])
def test_snip_on_a_linear_network(per_class: int) -> None:
    """Probabilities are 3/4, 1/4 of the first example and 1/2, 1/2 of the second, so that
    dL/dW = 1/2 [[-1/4, 1/2], [1/4, -1/2]], however many examples of each class there are."""
    network = _linear([[math.log(3) + 1, 2], [1, 2]])
    context = _on_two_classes(network, {"weight": _ALL_KEPT}, examples_per_class=per_class)
    expected = [[(math.log(3) + 1) / 8, 1 / 2], [1 / 8, 1 / 2]]
    torch.testing.assert_close(score("snip", context)["weight"], torch.tensor(expected))


@pytest.mark.parametrize("pruned", [False, True])
def test_grasp_on_a_linear_network(pruned: bool) -> None:
    """With logits / T, T = 200, the probabilities are those of SNIP's test.

    Column j of W has g = (p - y) / 2T and H = p0 p1 [[1, -1], [-1, 1]] / 2T^2, so that H g is
    p0 p1 (1 - p_y) / 2T^3 = (3/16) (1/4) / 2T^3 times (-1, 1) for the first example, and
    (1/4) (1/2) / 2T^3 times (1, -1) for the second. If the first weight is pruned, half of the
    first column's H g remains.
    """
    weight = [[200 * math.log(3) + 1, 2], [1, 2]]
    kept = [[not pruned, True], [True, True]]
    context = _on_two_classes(_linear(weight), {"weight": kept})
    first, second = 3 / 128 / 200**3, 1 / 16 / 200**3
    first /= 1 + pruned
    expected = torch.tensor([[-first, second], [first, -second]]) * torch.tensor(weight)
    torch.testing.assert_close(score("grasp", context)["weight"], expected, rtol=1e-4, atol=0)


def test_a_batch_has_as_many_examples_of_each_class() -> None:
    task = random_task(examples=60, pixels=4)
    context = PruningContext(nn.Linear(4, 1), {}, {}, task, _KEY, 4)
    counts = task.train_labels.bincount()
    inputs, labels = context.balanced_batch(3)
    assert labels.bincount().tolist() == counts.clamp(max=3).tolist()
    assert len(inputs.unique(dim=0)) == len(labels)
    assert context.balanced_batch(1000)[1].bincount().tolist() == counts.tolist()
    other = PruningContext(nn.Linear(4, 1), {}, {}, task, RandomKey((1,)), 4)
    assert not torch.equal(other.balanced_batch(3)[0], inputs)


def test_synflow_on_two_layers() -> None:
    """R = sum over hidden units i of |v_i| (|w_i1| + |w_i2|); a weight's score is its part of R."""
    network = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2), nn.Tanh(), nn.Linear(2, 1))
    with torch.no_grad():
        network.get_parameter("0.weight").copy_(torch.tensor([[1.0, -2.0], [0.5, 3.0]]))
        network.get_parameter("3.weight").copy_(torch.tensor([[2.0, -1.0]]))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    kept = {"0.weight": _ALL_KEPT, "3.weight": [[True, True]]}
    found = score("synflow", _on_two_classes(network, kept))
    assert found["0.weight"].tolist() == [[2.0, 4.0], [0.5, 3.0]]
    assert found["3.weight"].tolist() == [[6.0, 3.5]]
    kept["0.weight"] = [[True, False], [True, True]]
    found = score("synflow", _on_two_classes(network, kept))
    assert found["0.weight"].tolist() == [[2.0, 0.0], [0.5, 3.0]]
    assert found["3.weight"].tolist() == [[2.0, 3.5]]
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize("activation", [CReLU, Fourier])
def test_in_synflow_both_numbers_of_a_unit_pass_its_flow_on(activation: Any) -> None:
    """Flows into the hidden units are 3 and 3.5; they go on by (2, 4) and (1, 0.5)."""
    network = nn.Sequential(nn.Linear(2, 2), activation(), nn.Linear(4, 1))
    with torch.no_grad():
        network.get_parameter("0.weight").copy_(torch.tensor([[1.0, -2.0], [0.5, 3.0]]))
        network.get_parameter("2.weight").copy_(torch.tensor([[2.0, -1.0, 4.0, 0.5]]))
    kept = {"0.weight": _ALL_KEPT, "2.weight": [[True] * 4]}
    found = score("synflow", _on_two_classes(network, kept))
    assert found["0.weight"].tolist() == [[6.0, 12.0], [0.75, 4.5]]
    assert found["2.weight"].tolist() == [[6.0, 3.5, 12.0, 1.75]]


class _WithSpare(nn.Module):
    """A network with a layer that it does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.spare = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.used(inputs)
        return logits


@pytest.mark.parametrize("criterion", ["snip", "grasp", "synflow"])
def test_a_weight_on_which_nothing_depends_has_the_score_0(criterion: str) -> None:
    kept = {"used.weight": _ALL_KEPT, "spare.weight": _ALL_KEPT}
    found = score(criterion, _on_two_classes(_WithSpare(), kept))
    assert found["spare.weight"].count_nonzero() == 0
    assert found["used.weight"].count_nonzero() == 4


def test_convolutions_are_as_exact_as_in_trainings() -> None:
    """A GPU would find other scores each time, and other masks than the same search again."""
    seen = []

    class Watched(nn.Linear):
        def forward(self, inputs: Tensor) -> Tensor:
            seen.append((cudnn.deterministic, cudnn.allow_tf32))
            return super().forward(inputs)

    for criterion in ("snip", "edge_popup"):
        score(criterion, _on_two_classes(Watched(2, 2), {"weight": _ALL_KEPT}))
    assert {*seen} == {(True, False)}


def test_taylor_is_the_size_of_the_mean_product() -> None:
    means = MeanGradients({}, {"weight": torch.tensor([[0.5, -2.0], [0.0, 1.0]])})
    network = _linear([[1, 1], [1, 1]])
    masks = {"weight": torch.tensor(_ALL_KEPT)}
    context = PruningContext(network, {}, masks, random_task(pixels=2), _KEY, 4, measured=means)
    assert score("taylor", context)["weight"].tolist() == [[0.5, 2.0], [0.0, 1.0]]
