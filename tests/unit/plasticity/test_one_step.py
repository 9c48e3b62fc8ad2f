"""Churn and sample plasticity against steps of torch.optim on a copy, taken one by one."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from raylot.config import PlasticityOptions, TrainingOptions
from raylot.plasticity import measure
from raylot.plasticity.sample_plasticity import sample_plasticity
from tests.unit.plasticity.examples import EXAMPLES, KEY, Example, example

_OPTIMIZERS: list[dict[str, Any]] = [
    {"optimizer": "sgd", "lr": 0.1},
    {"optimizer": "adam", "lr": 0.01},
    {"optimizer": "adamw", "lr": 0.01, "weight_decay": 0.5, "label_smoothing": 0.2},
    {"optimizer": "sgd", "lr": 0.5, "clip_norm": 0.1, "weight_decay": 0.1},
]


def _after_a_step(one: Example, options: dict[str, Any], index: Tensor) -> Tensor:
    """All parameters after a step of torch.optim on some examples; pruned ones as before."""
    vector = torch.nn.Parameter(one.vector)
    outputs = one.outputs(vector, one.inputs[index])
    smoothing = options.get("label_smoothing", 0.0)
    loss = F.cross_entropy(outputs, one.labels[index], label_smoothing=smoothing)
    (gradient,) = torch.autograd.grad(loss, vector)
    gradient = gradient * one.live
    if limit := options.get("clip_norm"):
        gradient = gradient * min(1.0, limit / (float(gradient.norm()) + 1e-6))
    vector.grad = gradient
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    decay = options.get("weight_decay", 0.0)
    kind[options["optimizer"]]([vector], lr=options["lr"], weight_decay=decay).step()
    return torch.where(one.live, vector.detach(), one.vector)


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("options", _OPTIMIZERS, ids=str)
def test_churn_is_the_mean_change_of_logits_outside_of_the_batch(
    name: str, options: dict[str, Any]
) -> None:
    one, order = example(name), example(name).order()
    training = TrainingOptions(batch_size=7, **options)
    found = one.measured("churn", training=training, probe_size=12, churn_batches=3)
    reference, batches = order[:12], order[12:33].view(3, 7)
    before = one.outputs(one.vector, one.inputs[reference])
    changes = []
    for batch in batches:
        after = one.outputs(_after_a_step(one, options, batch), one.inputs[reference])
        changes.append(float((after - before).detach().abs().mean()))
    assert found == {("all", "churn"): pytest.approx(sum(changes) / 3, rel=1e-4)}
    assert len(set(changes)) == 3


def test_a_large_probe_and_batch_leave_each_other_half_of_the_task() -> None:
    one, options = example("dense"), {"optimizer": "sgd", "lr": 0.1}
    training = TrainingOptions(batch_size=1000, **options)
    found = one.measured("churn", training=training)
    reference, batch = one.order().split(20)
    before = one.outputs(one.vector, one.inputs[reference])
    after = one.outputs(_after_a_step(one, options, batch), one.inputs[reference])
    expected = float((after - before).detach().abs().mean())
    assert found["all", "churn"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("options", _OPTIMIZERS, ids=str)
def test_sample_plasticity_is_the_share_of_each_examples_loss_that_its_own_step_removes(
    name: str, options: dict[str, Any]
) -> None:
    one = example(name)
    training = TrainingOptions(**options)
    found = one.measured("sample_plasticity", training=training, sample_plasticity_examples=9)
    shares = []
    for index in one.order()[:9].split(1):
        batch = one.inputs[index], one.labels[index]
        before = float(one.loss(one.vector, *batch))
        after = float(one.loss(_after_a_step(one, options, index), *batch))
        shares.append(min(1.0, max(0.0, 1 - after / before)))
    assert found == {("all", "sample_plasticity"): pytest.approx(sum(shares) / 9, rel=1e-4)}
    assert 0 < sum(shares) < 9


def test_sample_plasticity_by_hand() -> None:
    # removes all, a half, nothing; makes it worse; had nothing to remove
    before, after = torch.tensor([2.0, 2.0, 2.0, 2.0, 0.0]), torch.tensor([0.0, 1.0, 2.0, 3.0, 0.0])
    assert sample_plasticity(before, after) == pytest.approx((1 + 0.5 + 0 + 0 + 1) / 5)


def test_steps_leave_the_network_alone() -> None:
    one = example("conv")
    before = copy.deepcopy(one.network.state_dict())
    one.measured("churn", "sample_plasticity", training=TrainingOptions(lr=1.0))
    for name, tensor in one.network.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert all(parameter.grad is None for parameter in one.network.parameters())


@pytest.mark.parametrize("name", ["churn", "sample_plasticity"])
def test_what_cannot_be_stepped_is_nan_and_says_why(name: str) -> None:
    one, notes = example("dense"), list[str]()
    options = PlasticityOptions(ntk_examples=0, sharpness_iterations=0)

    def value(training: TrainingOptions | None) -> float:
        rows = measure(
            one.network, one.task, options, KEY, built_in=(), measures=[name], training=training,
            note=notes.append,
        )  # fmt: skip
        (row,) = rows
        return float(row["value"])

    assert value(None) != value(None)
    with torch.no_grad():
        one.network.get_parameter("0.bias").fill_(float("inf"))
    assert value(TrainingOptions()) != value(TrainingOptions())
    assert [note.partition(":")[0] for note in notes] == [name] * 4
    assert "training: must be given" in notes[0]
    assert notes[2].startswith(f"{name}: NaN, as not all ")
