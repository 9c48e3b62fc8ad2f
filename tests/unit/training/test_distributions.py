"""Whole trainings and searches: both engines find the same accuracies and tickets on average.

Trajectories in float32 part after some hundred steps, so distributions are compared: over many
initialisations, in data orders of their own, by an equivalence test. Two engines are equivalent if
the 95% confidence interval of their mean difference lies within a margin (two one-sided t-tests,
Schuirmann 1987, at 2.5% each), and a Kolmogorov-Smirnov test tells no difference at 1%. Engines
with a planted mistake are not.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import raylot
from raylot.config import OptimizerOptions
from raylot.foundation.randomness import RandomKey
from raylot.tasks import Task
from raylot.training import Intervention, TrainingJob, TrainingResult, fast, train
from tests.unit.interventions.trainings import make
from tests.unit.training.networks import mlp

#: Measure -> by how much means may differ. One network's accuracies have a standard deviation of
#: 0.01 over seeds, its loss of 0.03 nats, and overlaps of 0.03.
_TRAINING_MARGINS = {"test_accuracy": 0.01, "online_accuracy": 0.01, "train_loss": 0.02}
_TICKET_MARGINS = {"dense_accuracy": 0.015, "ticket_accuracy": 0.015, "jaccard": 0.03}

_Measures = dict[str, np.ndarray]


def _trainings(engine: str, orders: str, method: Intervention | None = None) -> _Measures:
    """Measures of 40 networks trained for three epochs, in orders of this name: one per seed.

    With a method, those of the second of two tasks.
    """
    measures: dict[str, list[float]] = {name: [] for name in _TRAINING_MARGINS}
    task = raylot.load_dataset()
    for seed in range(40):
        network = mlp(64, 64, 10, seed=seed)
        initial = copy.deepcopy(network.state_dict())
        for t, of_stream in enumerate([_first_task(), task] if method else [task]):
            result = train(
                network, of_stream, epochs=3, batch_size=32, engine=engine,
                optimizer=OptimizerOptions(lr=0.005), key=RandomKey((seed, orders, t)),
                intervention=method, initial=initial, whole_task=method is not None,
            )  # fmt: skip
            assert result.engine == engine
        for name, values in measures.items():
            values.append(getattr(result, name))
    return {name: np.array(values) for name, values in measures.items()}


@functools.cache
def _first_task() -> Task:
    return raylot.permute_pixels(raylot.load_dataset(), torch.arange(64).flip(0))


def _searches(engine: str, orders: int) -> _Measures:
    """Means over the two tickets of 25 networks at a tenth of the weights: one per seed."""
    measures: dict[str, list[float]] = {name: [] for name in _TICKET_MARGINS}
    task = raylot.load_dataset()
    for seed in range(25):
        tickets = raylot.find_tickets(
            mlp(64, 64, 10, seed=seed), task, sparsity=0.9, rounds=2, count=2, epochs=2,
            batch_size=32, lr=0.005, random_masks=0, seed=orders + seed, device="cpu",
            engine=engine,
        )  # fmt: skip
        measures["dense_accuracy"].append(float(np.mean(tickets.dense_accuracies)))
        measures["ticket_accuracy"].append(float(np.mean(tickets.accuracies)))
        measures["jaccard"].append(float(tickets.overlaps()["jaccard"].mean()))
    return {name: np.array(values) for name, values in measures.items()}


def _differ(found: _Measures, expected: _Measures, margins: dict[str, float]) -> list[str]:
    """Measures of which equivalence cannot be told."""
    differing = []
    for name, margin in margins.items():
        differences = found[name] - expected[name]
        low, high = stats.t.interval(
            0.95, len(differences) - 1, loc=differences.mean(), scale=stats.sem(differences)
        )
        is_equivalent = -margin < low and high < margin
        if not is_equivalent or stats.ks_2samp(found[name], expected[name]).pvalue < 0.01:
            differing.append(name)
    return differing


@pytest.fixture(scope="module")
def trainings() -> _Measures:
    return _trainings("generic", "first")


@pytest.fixture(scope="module")
def searches() -> _Measures:
    return _searches("generic", 0)


def test_trainings_of_both_engines_are_equivalent(trainings: _Measures) -> None:
    assert _differ(_trainings("fast", "second"), trainings, _TRAINING_MARGINS) == []


def test_tickets_of_both_engines_are_equivalent(searches: _Measures) -> None:
    assert _differ(_searches("fast", 1000), searches, _TICKET_MARGINS) == []


def _plant(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Lets the fast engine train another job than it is given."""
    right: Callable[[TrainingJob], TrainingResult] = fast.train
    monkeypatch.setattr(fast, "train", lambda job: right(dataclasses.replace(job, **changes)))


_METHODS = {
    "l2": make("l2", l2_strength=3e-2),
    "l2_init": make("l2_init", l2_strength=3e-2),
    "shrink_and_perturb": make("shrink_and_perturb", shrink=0.5, perturb=0.5),
    "reset": make("reset"),
}


@pytest.mark.parametrize("method", _METHODS)
def test_streams_with_a_method_are_equivalent_and_those_without_are_not(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = _trainings("generic", "first", _METHODS[method])
    found = _trainings("fast", "second", _METHODS[method])
    assert _differ(found, expected, _TRAINING_MARGINS) == []
    _plant(monkeypatch, intervention=None)
    assert _differ(_trainings("fast", "second", _METHODS[method]), expected, _TRAINING_MARGINS)


@pytest.mark.parametrize("mistake", ["learning rate", "first moment", "second moment"])
def test_trainings_with_a_mistake_are_not(
    trainings: _Measures, monkeypatch: pytest.MonkeyPatch, mistake: str
) -> None:
    if mistake == "learning rate":
        _plant(monkeypatch, optimizer=OptimizerOptions(lr=0.0075))
    else:
        betas = (0.0, 0.999) if mistake == "first moment" else (0.9, 0.5)
        monkeypatch.setattr("raylot.training.fast.state._BETAS", betas)
    assert _differ(_trainings("fast", "second"), trainings, _TRAINING_MARGINS) != []


def test_tickets_without_masks_are_not(
    searches: _Measures, monkeypatch: pytest.MonkeyPatch
) -> None:
    _plant(monkeypatch, masks=None)
    assert "ticket_accuracy" in _differ(_searches("fast", 1000), searches, _TICKET_MARGINS)
