"""Channels that pruning has cut off from the output are left out, and nothing else changes."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
import torch
from torch import nn

from raylot import networks
from raylot.config import InterventionOptions, NetworkOptions, OptimizerOptions
from raylot.foundation.randomness import RandomKey
from raylot.interventions.l2 import L2
from raylot.masks.pruning import full_masks
from raylot.tasks import Task
from raylot.training import Masks, TrainingJob, TrainingResult, generic, train_all
from tests.unit.training.networks import assert_pruned_stay, random_masks, vector, weights_of


def _task() -> Task:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(60, 2, 8, 8, generator=generator)
    labels = torch.randint(0, 4, (60,), generator=generator)
    return Task(inputs[:40], labels[:40], inputs[40:], labels[40:], 4)


def _network(name: str = "conv2", **options: Any) -> nn.Module:
    chosen = NetworkOptions(network=name, width_scale=0.1, width=4, **options)
    return networks.build(chosen, (2, 8, 8), 4, RandomKey((0, "network")))


def _job(network: nn.Module | None = None, **changes: Any) -> TrainingJob:
    network = network or _network()
    usual: dict[str, Any] = {
        "network": network, "task": _task(), "epochs": 2, "batch_size": 16,
        "optimizer": OptimizerOptions(lr=0.01), "key": RandomKey((0, "test")),
        "masks": random_masks(network, 0.05),
    }  # fmt: skip
    return TrainingJob(**usual | changes)


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of parameters of the networks that the generic engine trains."""
    found: list[int] = []
    train = generic.train

    def spied(job: TrainingJob) -> TrainingResult:
        found.append(vector(job.network).numel())
        return train(job)

    monkeypatch.setattr(generic, "train", spied)
    return found


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"masked": "freeze"},
        {"learning_curve": True, "max_steps": 4},
        {"optimizer": OptimizerOptions(optimizer="sgd", lr=0.01, momentum=0.9, clip_norm=1)},
        {"optimizer": OptimizerOptions(optimizer="rmsprop", schedule="cosine")},
    ],
    ids=lambda changes: "+".join(changes) or "plain",
)
@pytest.mark.parametrize("name", ["conv2", "lenet", "vgg11"])
def test_a_smaller_network_is_the_same_training_up_to_rounding(
    name: str, changes: dict[str, Any], sizes: list[int]
) -> None:
    job = _job(_network(name, activation="elu" if name == "lenet" else "relu"), **changes)
    assert job.masks is not None
    if job.masked == "freeze":  # as a snapshot that was pruned to 0 before
        for weight_name, mask in job.masks.items():
            job.network.get_parameter(weight_name).data.masked_fill_(~mask, 0)
    other = dataclasses.replace(job, network=copy.deepcopy(job.network))
    before = weights_of(job.network)
    (result,), expected = train_all([job]), generic.train(other)
    assert sizes[0] < sizes[1]
    torch.testing.assert_close(vector(job.network), vector(other.network), rtol=1e-4, atol=1e-5)
    assert_pruned_stay(job.network, before, job.masks, job.masked)
    assert job.network.training
    assert (result.engine, result.steps) == (expected.engine, expected.steps)
    for measure in ("train_loss", "test_loss", "test_accuracy"):
        assert getattr(result, measure) == pytest.approx(getattr(expected, measure), rel=1e-4)
    assert result.optimizer_state.keys() == expected.optimizer_state.keys()
    for moment, tensor in expected.optimizer_state.items():
        torch.testing.assert_close(
            result.optimizer_state[moment], tensor, rtol=1e-3, atol=1e-6, msg=moment
        )


def _by_hand() -> tuple[nn.Module, Masks]:
    """Three channels of 2x2 pixels; the last feeds nobody, and hidden unit 1 neither."""
    network = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(),
        nn.Linear(12, 2), nn.ReLU(), nn.Linear(2, 4),
    )  # fmt: skip
    for parameter in network.parameters():  # all units are active
        nn.init.uniform_(parameter, 0.1, 0.2, generator=torch.Generator().manual_seed(0))
    masks = full_masks(network)
    masks["4.weight"][0, 8:] = False
    masks["6.weight"][:, 1] = False
    return network, masks


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Linear(8, 8), nn.Flatten(),
         nn.Linear(256, 4)],
        [nn.Flatten(), nn.Unflatten(1, (2, 8, 8)), nn.Conv2d(2, 4, 3), nn.Flatten(),
         nn.Linear(144, 4)],
    ],
    ids=["along the width", "vectors first"],
)  # fmt: skip
def test_a_linear_layer_may_look_along_an_axis_of_images(
    layers: list[nn.Module], sizes: list[int]
) -> None:
    """Its inputs are then no channels of the layer before, so none is left out."""
    network = nn.Sequential(*layers)
    masks = full_masks(network)
    masks[list(masks)[-1]][:, :32] = False
    train_all([_job(network, masks=masks)])
    assert sizes == [vector(network).numel()]


def test_what_is_left_out_can_be_counted_by_hand(sizes: list[int]) -> None:
    network, masks = _by_hand()
    before = copy.deepcopy(network.state_dict())
    train_all([_job(network, masks=masks)])
    assert sizes == [2 * (2 * 9 + 1) + (8 + 1) + (4 + 4)]
    for name, unit in (("0.weight", 2), ("0.bias", 2), ("4.weight", 1), ("4.bias", 1)):
        left, trained = before[name], network.state_dict()[name]
        assert torch.equal(trained[unit], left[unit])
        assert not torch.equal(trained[0], left[0])


def test_a_network_that_is_cut_off_altogether_learns_its_last_bias(sizes: list[int]) -> None:
    network, masks = _by_hand()
    masks["6.weight"][:] = False
    before = copy.deepcopy(network.state_dict())
    train_all([_job(network, masks=masks)])
    assert sizes == [2 * (2 * 9 + 1) + (8 + 1) + (4 + 4)]  # a layer keeps a unit at least
    assert torch.equal(network.state_dict()["0.weight"], before["0.weight"])
    assert not torch.equal(network.state_dict()["6.bias"], before["6.bias"])


@pytest.mark.parametrize(
    "changes",
    [
        {"masks": None},
        {"masks": full_masks(_network())},
        {"masked": "freeze"},  # pruned weights keep values other than 0
        {"optimizer": OptimizerOptions(weight_decay=0.01)},
        {"optimizer_state": {"step": torch.tensor(0.0)}},
        {"intervention": L2(InterventionOptions())},
        {"gradient_magnitudes": True},
        {"gradient_products": True},
        {"after_epoch": lambda network: False},
        {"network": _network("resnet20"), "masks": random_masks(_network("resnet20"), 0.02)},
        {
            "network": _network(norm="batch"),
            "masks": random_masks(_network(norm="batch"), 0.02),
        },
        {
            "network": _network(activation="prelu"),
            "masks": random_masks(_network(activation="prelu"), 0.02),
        },
    ],
    ids=lambda changes: " and ".join(changes),
)
def test_elsewhere_the_whole_network_is_trained(changes: dict[str, Any], sizes: list[int]) -> None:
    job = _job(**changes | {"network": copy.deepcopy(changes.get("network") or _network())})
    if job.optimizer_state:
        zeros = torch.zeros_like(vector(job.network))
        job.optimizer_state.update(exp_avg=zeros, exp_avg_sq=zeros.clone())
    train_all([job], "generic")
    assert sizes == [vector(job.network).numel()]
