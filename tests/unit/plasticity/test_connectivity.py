"""The barrier between two networks, against interpolation and errors computed with numpy."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from raylot.config import TrainingOptions
from raylot.foundation.randomness import RandomKey
from raylot.masks.pruning import full_masks, random_masks_like
from raylot.networks import with_state
from raylot.plasticity.connectivity import barriers, errors_along, why_not_interpolated
from raylot.tasks import Task
from raylot.training import evaluate, train
from tests.support.tasks import random_task, small_network

_KEY = RandomKey((0, "barrier"))


def _along(a: nn.Module, b: nn.Module, task: Task, points: int = 5) -> list[dict[str, float]]:
    return errors_along(a, b, task, points=points, key=_KEY, batch_size=8)


def _trained(network: nn.Module, task: Task, seed: int, sparsity: float = 0.0) -> nn.Module:
    """A copy, trained on a task in a data order of its own, under a random mask of its own."""
    own = copy.deepcopy(network)
    masks = full_masks(own)
    if sparsity:
        like = {n: torch.rand(m.shape) >= sparsity for n, m in masks.items()}
        masks = random_masks_like(like, RandomKey((seed, "mask")))
    train(
        own, task, epochs=3, batch_size=8, optimizer=TrainingOptions(lr=0.03),
        key=RandomKey((seed,)), masks=masks if sparsity else None,
    )  # fmt: skip
    return own


def _numpy_errors(weights: dict[str, np.ndarray], inputs: Tensor, labels: Tensor) -> Any:
    """Error and mean cross-entropy of a ReLU network with one hidden layer."""
    hidden = np.maximum(inputs.numpy() @ weights["0.weight"].T + weights["0.bias"], 0)
    logits = hidden @ weights["2.weight"].T + weights["2.bias"]
    logits -= logits.max(1, keepdims=True)
    own = logits[np.arange(len(labels)), labels.numpy()] - np.log(np.exp(logits).sum(1))
    return (logits.argmax(1) != labels.numpy()).mean(), -own.mean()


@pytest.mark.parametrize("sparsity", [0.0, 0.5])
def test_errors_of_an_mlp_are_those_of_interpolated_weights(sparsity: float) -> None:
    task = random_task(examples=240)
    a, b = (_trained(small_network(), task, seed, sparsity) for seed in (1, 2))
    along = _along(a, b, task)
    states = [{n: t.double().numpy() for n, t in one.state_dict().items()} for one in (a, b)]
    order = _KEY.generator().permutation(len(task.train_labels))[: len(task.test_labels)]
    inputs = task.scale(task.test_inputs).double()
    some = task.scale(task.train_inputs[order]).double()
    for alpha, found in zip((0, 0.25, 0.5, 0.75, 1), along, strict=True):
        between = {n: (1 - alpha) * w + alpha * states[1][n] for n, w in states[0].items()}
        error, loss = _numpy_errors(between, inputs, task.test_labels)
        _, train_loss = _numpy_errors(between, some, task.train_labels[order])
        assert found["test_error"] == pytest.approx(error)
        assert found["test_loss"] == pytest.approx(loss, rel=1e-5)
        assert found["train_loss"] == pytest.approx(train_loss, rel=1e-5)
    assert evaluate(a, task).loss == along[0]["test_loss"]
    assert evaluate(b, task).loss == along[-1]["test_loss"]


def test_a_barrier_is_the_highest_error_minus_the_mean_of_the_ends() -> None:
    along = [
        {"test_error": e, "test_loss": e, "train_loss": loss}
        for e, loss in ((0.1, 2.0), (0.6, 1.0), (0.2, math.nan), (0.3, 4.0))
    ]
    found = barriers(along)
    assert found["test_error"] == found["test_loss"] == pytest.approx(0.2)
    assert found["test_error_barrier"] == found["test_loss_barrier"] == pytest.approx(0.4)
    assert found["train_loss"] == 3.0
    assert math.isnan(found["train_loss_barrier"])


def test_there_is_no_barrier_between_a_network_and_itself_but_one_to_its_permutation() -> None:
    """A network with its hidden units in another order computes the same."""
    task = random_task(examples=240)
    network = _trained(small_network(), task, 1)
    order = torch.arange(8).roll(3)
    state = network.state_dict()
    own = {"0.weight": state["0.weight"][order], "0.bias": state["0.bias"][order]}
    permuted = with_state(network, {**state, **own, "2.weight": state["2.weight"][:, order]})
    same = barriers(_along(network, network, task))
    assert {same[name] for name in same if name.endswith("_barrier")} == {0.0}
    other = barriers(_along(network, permuted, task))
    assert other["test_loss"] == pytest.approx(same["test_loss"], rel=1e-5)
    assert other["test_loss_barrier"] > 0.1


class _Convolutional(nn.Sequential):
    """With batch normalisation; dropout must stay off along the line."""

    def __init__(self) -> None:
        super().__init__(
            nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(),
            nn.Dropout(0.5), nn.Flatten(), nn.Linear(16, 3),
        )  # fmt: skip


def test_statistics_of_batch_normalisation_are_computed_anew_along_the_line() -> None:
    """Against PyTorch's functional operations, at the middle and at an end."""
    task = random_task(examples=96, pixels=16)
    torch.manual_seed(0)
    a, b = (_trained(_Convolutional(), task, seed, 0.3) for seed in (1, 2))
    before = copy.deepcopy(a.state_dict())
    along = _along(a, b, task, points=3)
    assert all(torch.equal(before[name], tensor) for name, tensor in a.state_dict().items())
    order = _KEY.generator().permutation(64)
    for alpha, found in ((0.0, along[0]), (0.5, along[1])):
        w = {
            n: torch.lerp(p.detach(), b.get_parameter(n).detach(), alpha)
            for n, p in a.named_parameters()
        }

        def before_norm(inputs: Tensor, w: dict[str, Tensor] = w) -> Tensor:
            images = task.scale(inputs).view(-1, 1, 4, 4)
            return nn.functional.conv2d(images, w["1.weight"], w["1.bias"])

        batches = [before_norm(task.train_inputs[order[i : i + 8]]) for i in range(0, 64, 8)]
        mean = torch.stack([one.mean((0, 2, 3)) for one in batches]).mean(0)
        variance = torch.stack([one.var((0, 2, 3)) for one in batches]).mean(0)
        normed = nn.functional.batch_norm(
            before_norm(task.test_inputs), mean, variance, w["2.weight"], w["2.bias"]
        )
        logits = normed.relu().flatten(1) @ w["6.weight"].T + w["6.bias"]
        loss = nn.functional.cross_entropy(logits, task.test_labels)
        assert found["test_loss"] == pytest.approx(float(loss), rel=1e-4)
        wrong = (logits.argmax(1) != task.test_labels).float().mean()
        assert found["test_error"] == pytest.approx(float(wrong))
    # the network's own statistics are running means over its training, when weights were others
    assert along[0]["test_loss"] != evaluate(a, task).loss


def test_frozen_statistics_stay_as_they_are() -> None:
    task = random_task(examples=96, pixels=16)
    network = _Convolutional()
    network.train()
    network[2].eval()
    a, b = (_trained(network, task, seed) for seed in (1, 2))
    assert _along(a, b, task)[0]["test_loss"] == evaluate(a, task).loss


def test_what_a_network_of_ones_own_keeps_beside_its_weights_has_no_value_between_two() -> None:
    def network(seen: float) -> nn.Module:
        own = small_network()
        own.register_buffer("seen", torch.tensor(seen))
        return own

    assert why_not_interpolated(network(1), network(1)) is None
    assert why_not_interpolated(network(1), network(2)) == (
        "they differ in seen, beside their weights"
    )
