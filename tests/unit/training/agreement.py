"""Compares a training by the fast engine with the generic engine's: weights, moments, measures.

float32 sums in another order differ in the last bit. Adam makes more of that where a gradient is
nothing but rounding noise: it divides by the gradient's size. So single weights may differ more
(at most 1 in 1000 of a network's), a layer as a whole may not.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import raylot
from raylot.config import OptimizerOptions
from raylot.foundation.randomness import RandomKey
from raylot.tasks import Task
from raylot.training import Intervention, Masks, TrainingResult, train
from tests.support.tasks import random_task
from tests.unit.training.networks import mlp

KEY = RandomKey((0, "test"))
#: By how much of its size a tensor may differ, and a weight by how much of the largest.
CLOSE = 1e-5
DENSITIES = [1.0, 0.8, 0.2, 0.05]
load_digits = functools.cache(raylot.load_dataset)


def sparse_task(examples: int, pixels: int, classes: int, share: float, seed: int = 0) -> Task:
    """A random task with this share of its inputs kept and the others 0."""
    task = random_task(examples, pixels, classes, seed)
    generator = torch.Generator().manual_seed(seed)

    def thinned(inputs: Tensor) -> Tensor:
        return inputs * (torch.rand(inputs.shape, generator=generator) < share)

    return dataclasses.replace(
        task, train_inputs=thinned(task.train_inputs), test_inputs=thinned(task.test_inputs)
    )


TASKS = {
    "digits": lambda: load_digits(),
    "digits, unit": lambda: load_digits(scaling="unit"),
    "digits, standardized": lambda: load_digits(scaling="standardize"),
    "6 pixels, 3 classes": lambda: random_task(600),
    "64 pixels, 10 classes": lambda: random_task(600, 64, 10),
    "784 pixels, a tenth of them set": lambda: sparse_task(600, 784, 3, share=0.1),
    # most pixels are idle for many steps, some for all
    "784 pixels, 1 in 1000 set": lambda: sparse_task(600, 784, 3, share=0.001),
}


def network_for(task: Task, *hidden: int, seed: int = 0) -> nn.Module:
    return mlp(task.train_inputs[0].numel(), *hidden, task.classes, seed=seed)


def trained(
    engine: str, network: nn.Module, task: Task, **options: Any
) -> tuple[nn.Module, TrainingResult]:
    """A trained copy after 50 steps, unless options say otherwise, and the result.

    An intervention may be a function that makes one, so that each training has its own.
    """
    if not isinstance(method := options.pop("intervention", None), Intervention | None):
        method = method()
    network = copy.deepcopy(network)
    usual: dict[str, Any] = {
        "epochs": 50, "max_steps": 50, "batch_size": 32, "optimizer": OptimizerOptions(),
        "key": KEY,
    }  # fmt: skip
    result = train(network, task, engine=engine, intervention=method, **{**usual, **options})
    assert result.engine == engine
    return network, result


def _are_close(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> bool:
    """Each tensor as a whole, and single entries all but 1 in 1000, rounded up."""
    assert found.keys() == expected.keys()
    stray, entries, are_whole = 0, 0, True
    for name in expected:
        tensor = expected[name].double()
        difference, size = found[name].double() - tensor, tensor.norm()
        assert difference.norm() <= 0.02 * size, name  # whatever a unit does, see assert_agree
        are_whole &= bool(difference.norm() <= CLOSE * size)
        stray += int((difference.abs() > CLOSE * tensor.abs().max()).sum())
        entries += tensor.numel()
    return are_whole and stray <= math.ceil(entries / 1000)


def assert_agree(network: nn.Module, task: Task, **options: Any) -> TrainingResult:
    """Both engines train a network to the same weights and measures; returns the fast result.

    In a few of 1000 trainings the last bit decides whether a unit is on for an example; which ones
    depends on the processor. Where weights are not the same, they must be so in two of four other
    data orders.
    """
    key = options.pop("key", KEY)
    agrees, result = compared(network, task, key=key, **options)
    if not agrees:
        others = (
            compared(network, task, key=key.child("other", other), **options)[0]
            for other in range(1, 5)
        )
        assert sum(others) >= 2
    return result


def compared(network: nn.Module, task: Task, **options: Any) -> tuple[bool, TrainingResult]:
    """Whether both engines train a network to the same weights; other measures must agree."""
    expected, reference = trained("generic", network, task, **options)
    found, result = trained("fast", network, task, **options)
    assert result.steps == reference.steps
    assert result.diverged is reference.diverged is False
    for name in ("train_loss", "test_loss"):
        assert getattr(result, name) == pytest.approx(getattr(reference, name), rel=1e-3), name
    # a few examples may be on the edge
    for name in ("online_accuracy", "test_accuracy", "learning_speed"):
        assert getattr(result, name) == pytest.approx(getattr(reference, name), abs=5e-3), name
    agrees = _are_close(found.state_dict(), expected.state_dict())
    if reference.gradient_magnitudes is None:
        assert result.gradient_magnitudes is None
    else:
        assert result.gradient_magnitudes is not None
        agrees &= _are_close(result.gradient_magnitudes, reference.gradient_magnitudes)
    moments, reference_moments = (
        _moments(expected, options.get("masks") or {}, each.optimizer_state)
        for each in (result, reference)
    )
    for name, moment in reference_moments.items():
        agrees &= bool((moments[name] - moment).norm() <= 1e-4 * moment.norm())
    assert result.optimizer_state.keys() == reference.optimizer_state.keys()
    if (step := reference.optimizer_state.get("step")) is not None:
        assert result.optimizer_state["step"].dtype == step.dtype
        assert torch.equal(result.optimizer_state["step"], step)
    return agrees, result


def _moments(network: nn.Module, masks: Masks, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The moments of each parameter; those of pruned weights, which nothing asks for, are 0."""
    named = dict(network.named_parameters())
    moments = {}
    for moment in state.keys() - {"step"}:
        parts = state[moment].split([p.numel() for p in named.values()])
        for (name, parameter), part in zip(named.items(), parts, strict=True):
            survives = masks.get(name, torch.ones_like(parameter, dtype=torch.bool))
            moments[f"{name} {moment}"] = part.view(parameter.shape) * survives
    return moments
