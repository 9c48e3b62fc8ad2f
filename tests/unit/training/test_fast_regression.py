"""Squared errors in the fast engine: its weights are the generic engine's, but for rounding."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from raylot.config import OptimizerOptions
from raylot.foundation.errors import OptionError
from raylot.tasks import Task
from raylot.training import fast, train
from tests.unit.training.agreement import KEY, TASKS, assert_agree, trained
from tests.unit.training.networks import mlp, random_masks

_SGD = OptimizerOptions(optimizer="sgd", lr=0.01)


def _bits(kind: torch.dtype, examples: int = 600, targets: int = 1) -> Task:
    """Bits, about half of them set, and targets that are not linear in them."""
    generator = torch.Generator().manual_seed(0)
    inputs = (torch.rand(examples, 21, generator=generator) < 0.5).to(kind)
    return _regression(Task(inputs, torch.zeros(examples).long(), inputs[:90],
                            torch.zeros(90).long(), 1), targets)  # fmt: skip


def _regression(task: Task, targets: int) -> Task:
    """The task with targets that its inputs decide."""
    generator = torch.Generator().manual_seed(1)
    mix = torch.randn(task.train_inputs[0].numel(), targets, generator=generator)
    train_labels, test_labels = (
        (task.scale(inputs).flatten(1) @ mix / 3).sin()
        for inputs in (task.train_inputs, task.test_inputs)
    )
    return dataclasses.replace(
        task, train_labels=train_labels, test_labels=test_labels, classes=None
    )


_TASKS = {
    "bits as floats": lambda: _bits(torch.float32),
    "bits as bytes, 3 targets": lambda: _bits(torch.uint8, targets=3),
    "few pixels set": lambda: _regression(TASKS["784 pixels, a tenth of them set"](), 2),
}


@pytest.mark.parametrize("name", _TASKS)
@pytest.mark.parametrize(
    "optimizer",
    [_SGD, _SGD.model_copy(update={"momentum": 0.9}), OptimizerOptions()],
    ids=["sgd", "momentum", "adam"],
)
def test_weights_agree_after_50_steps(name: str, optimizer: OptimizerOptions) -> None:
    """Also in batches of one, and with an odd one at the end of an epoch."""
    task = _TASKS[name]()
    for hidden, batch_size, density in (((5,), 1, 1.0), ((5,), 41, 0.8), ((20, 33), 41, 0.2)):
        network = mlp(task.train_inputs[0].numel(), *hidden, task.outputs)
        masks = None if density == 1 else random_masks(network, density)
        result = assert_agree(
            network, task, batch_size=batch_size, masks=masks, optimizer=optimizer,
            learning_curve=True,
        )  # fmt: skip
        assert result.online_accuracy is result.test_accuracy is result.learning_speed is None


def test_targets_may_lie_in_memory_in_any_order() -> None:
    task = _bits(torch.float32, targets=3)
    strided = dataclasses.replace(
        task,
        train_labels=task.train_labels.t().contiguous().t(),
        test_labels=task.test_labels.t().contiguous().t(),
    )
    (network, _), (other, _) = (
        trained("fast", mlp(21, 5, 3), each, optimizer=_SGD) for each in (task, strided)
    )
    for a, b in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_another_error_does_not_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half the gradient, as of (f - y)^2 / 2, is a step of half the rate."""
    halved, right = _SGD.model_copy(update={"lr": 0.005}), fast.train
    monkeypatch.setattr(
        fast, "train", lambda job: right(dataclasses.replace(job, optimizer=halved))
    )
    with pytest.raises(AssertionError):
        assert_agree(mlp(21, 5, 1), _bits(torch.float32), optimizer=_SGD)


def test_a_network_with_other_outputs_than_targets_never_reaches_compiled_code() -> None:
    with pytest.raises(OptionError, match="the task's inputs or labels do not fit the network"):
        train(
            mlp(21, 5, 2), _bits(torch.float32), epochs=1, batch_size=8, optimizer=_SGD, key=KEY,
            engine="fast",
        )  # fmt: skip
