"""The optimizers of the fast engine: each step is the one that the generic engine takes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest

from raylot.config import OptimizerOptions
from raylot.training import TrainingJob, TrainingResult, fast
from tests.unit.interventions.trainings import make
from tests.unit.training.agreement import KEY, TASKS, assert_agree, network_for, trained
from tests.unit.training.networks import assert_pruned_stay, random_masks, weights_of

_SPARSE, _DENSE = "784 pixels, a tenth of them set", "digits, standardized"
#: Where most pixels are idle for many steps.
_IDLE = "784 pixels, 1 in 1000 set"


def _sgd(**options: Any) -> OptimizerOptions:
    return OptimizerOptions(optimizer="sgd", lr=0.01, **options)


_OPTIMIZERS = {
    "adamw": OptimizerOptions(optimizer="adamw", weight_decay=0.1),
    "adamw without decay": OptimizerOptions(optimizer="adamw"),
    "sgd": _sgd(),
    "sgd with decay": _sgd(weight_decay=0.1),
    "momentum": _sgd(momentum=0.9),
    "momentum with decay": _sgd(momentum=0.9, weight_decay=0.1),
    "Nesterov": _sgd(momentum=0.9, nesterov=True),
    "Nesterov with decay": _sgd(momentum=0.9, nesterov=True, weight_decay=0.1),
}


@pytest.mark.parametrize("name", [_IDLE, _SPARSE, _DENSE])
@pytest.mark.parametrize("optimizer", _OPTIMIZERS)
def test_weights_and_moments_agree_after_50_steps(optimizer: str, name: str) -> None:
    """Batches of 41 leave an odd one at the end of an epoch, of 600 or 1,437 examples."""
    task = TASKS[name]()
    network = network_for(task, 20, 33)
    for density, batch_size, masked in (
        (1.0, 1, "zero"), (1.0, 41, "zero"), (0.8, 1, "freeze"), (0.2, 41, "freeze"),
        (0.2, 1, "zero"),
    ):  # fmt: skip
        masks = None if density == 1 else random_masks(network, density)
        assert_agree(
            network, task, optimizer=_OPTIMIZERS[optimizer], batch_size=batch_size, masks=masks,
            masked=masked,
        )  # fmt: skip


@pytest.mark.parametrize("name", [_IDLE, _DENSE])
@pytest.mark.parametrize("optimizer", _OPTIMIZERS)
def test_each_engine_goes_on_where_the_other_stopped(optimizer: str, name: str) -> None:
    task = TASKS[name]()
    options: dict[str, Any] = {"optimizer": _OPTIMIZERS[optimizer], "batch_size": 8}
    network = network_for(task, 33)
    for engine, density in (("fast", 1.0), ("generic", 1.0), ("fast", 0.2)):
        masks = None if density == 1 else random_masks(network, density)
        before, first = trained(engine, network, task, max_steps=20, masks=masks, **options)
        assert_agree(
            before, task, masks=masks, optimizer_state=first.optimizer_state,
            key=KEY.child("later"), **options,
        )  # fmt: skip


@pytest.mark.parametrize("masked", ["zero", "freeze"])
@pytest.mark.parametrize("optimizer", _OPTIMIZERS)
def test_pruned_weights_never_move_by_a_single_bit(optimizer: str, masked: str) -> None:
    """Decay, and moments from before there was a mask, move all others."""
    options: dict[str, Any] = {"optimizer": _OPTIMIZERS[optimizer]}
    for name, batch_size in ((_SPARSE, 1), (_SPARSE, 32), (_DENSE, 7)):
        task = TASKS[name]()
        dense, before = trained("fast", network_for(task, 20, 33), task, **options)
        for density in (0.8, 0.2):
            masks = random_masks(dense, density)
            after, _ = trained(
                "fast", dense, task, masks=masks, masked=masked, batch_size=batch_size,
                optimizer_state=before.optimizer_state, **options,
            )  # fmt: skip
            assert_pruned_stay(after, weights_of(dense), masks, masked)
            moved = weights_of(after)["output.weight"] != weights_of(dense)["output.weight"]
            assert moved[masks["output.weight"]].any()


@pytest.mark.parametrize("name", [_SPARSE, _DENSE])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "momentum", "Nesterov with decay"])
def test_penalties_and_measured_gradients_agree(optimizer: str, name: str) -> None:
    task = TASKS[name]()
    network = network_for(task, 20, 33)
    for method in (None, make("l2", l2_strength=1e-2), make("l2_init", l2_strength=1e-2)):
        assert_agree(
            network, task, optimizer=_OPTIMIZERS[optimizer], intervention=method, batch_size=8,
            initial=network_for(task, 20, 33, seed=1).state_dict(), gradient_magnitudes=True,
            learning_curve=True,
        )  # fmt: skip


@pytest.mark.parametrize("name", [_SPARSE, _DENSE])
@pytest.mark.parametrize("optimizer", ["sgd", "Nesterov with decay"])
def test_both_engines_diverge_alike(optimizer: str, name: str) -> None:
    task = TASKS[name]()
    options = _OPTIMIZERS[optimizer].model_copy(update={"lr": 100.0, "weight_decay": 100.0})
    for engine in ("generic", "fast"):
        network, result = trained(engine, network_for(task, 33), task, optimizer=options, epochs=9)
        assert result.diverged
        assert math.isnan(result.train_loss)
        assert all(bool(p.isnan().any()) for p in network.parameters())


#: Optimizer, and what a mistaken engine would take for what it is given.
_MISTAKES: list[tuple[str, dict[str, Any]]] = [
    ("adamw", {"optimizer": "adam"}),
    ("adamw", {"weight_decay": 0.09}),
    ("adamw without decay", {"lr": 1.001e-3}),
    ("sgd", {"lr": 0.01001}),
    ("sgd with decay", {"weight_decay": 0.09}),
    ("momentum", {"momentum": 0.899}),
    ("momentum", {"nesterov": True}),
    ("Nesterov", {"nesterov": False}),
    ("Nesterov with decay", {"weight_decay": 0.0}),
]


@pytest.mark.parametrize("name", [_IDLE, _DENSE])
@pytest.mark.parametrize(("optimizer", "mistake"), _MISTAKES, ids=str)
def test_steps_with_a_mistake_do_not_agree(
    monkeypatch: pytest.MonkeyPatch, optimizer: str, mistake: dict[str, Any], name: str
) -> None:
    task, right = TASKS[name](), _OPTIMIZERS[optimizer]
    _plant(monkeypatch, {"optimizer": right.model_copy(update=mistake)})
    with pytest.raises(AssertionError):
        assert_agree(network_for(task, 33), task, optimizer=right, batch_size=8)


@pytest.mark.parametrize("name", [_IDLE, _DENSE])
@pytest.mark.parametrize("optimizer", ["adamw", "momentum", "Nesterov with decay"])
def test_forgotten_moments_do_not_agree(
    monkeypatch: pytest.MonkeyPatch, optimizer: str, name: str
) -> None:
    task = TASKS[name]()
    options: dict[str, Any] = {"optimizer": _OPTIMIZERS[optimizer], "batch_size": 8}
    before, first = trained("generic", network_for(task, 33), task, max_steps=20, **options)
    _plant(monkeypatch, {"optimizer_state": None})
    with pytest.raises(AssertionError):
        assert_agree(before, task, optimizer_state=first.optimizer_state, **options)


def _plant(monkeypatch: pytest.MonkeyPatch, mistake: dict[str, Any]) -> None:
    """Lets the fast engine train another job than it is given."""
    right: Callable[[TrainingJob], TrainingResult] = fast.train
    monkeypatch.setattr(fast, "train", lambda job: right(dataclasses.replace(job, **mistake)))
