"""Interventions that the fast engine trains with: as the generic engine does, but for rounding."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn

from raylot.config import OptimizerOptions
from raylot.foundation.errors import OptionError
from raylot.training import Intervention, Training, TrainingJob, TrainingResult, engines, fast
from raylot.training.flat import FlatParameters
from tests.support.tasks import random_task, small_network
from tests.unit.interventions.trainings import make
from tests.unit.training.agreement import (
    KEY,
    TASKS,
    assert_agree,
    load_digits,
    network_for,
    sparse_task,
    trained,
)
from tests.unit.training.networks import (
    assert_pruned_stay,
    bits,
    random_masks,
    vector,
    weights_of,
)

_PENALTIES = ["l2", "l2_init"]
_AT_THE_END = ["reset", "shrink_and_perturb"]
_SPARSE, _DENSE = "784 pixels, a tenth of them set", "digits, standardized"


def _elsewhere(network: nn.Module) -> dict[str, Tensor]:
    """Where a network's life may have begun: not where this training begins."""
    generator = torch.Generator().manual_seed(5)
    return {
        name: parameter.detach() + 0.1 * torch.randn(parameter.shape, generator=generator)
        for name, parameter in network.named_parameters()
    }


# ------------------------------------------------------------------ penalties


@pytest.mark.parametrize("density", [1.0, 0.8, 0.2])
@pytest.mark.parametrize("masked", ["zero", "freeze"])
@pytest.mark.parametrize("method", _PENALTIES)
@pytest.mark.parametrize("name", [_SPARSE, _DENSE, "784 pixels, 1 in 1000 set", "digits"])
def test_penalised_weights_agree_after_50_steps(
    name: str, method: str, masked: str, density: float
) -> None:
    """A penalty moves weights of pixels that never occur too."""
    task = TASKS[name]()
    for strength, hidden in ((1e-4, (64,)), (1e-2, (20, 33))):
        network = network_for(task, *hidden)
        masks = None if density == 1 else random_masks(network, density)
        for initial in (_elsewhere(network), network.state_dict()):
            assert_agree(
                network, task, masks=masks, masked=masked, initial=initial,
                intervention=make(method, l2_strength=strength),
            )  # fmt: skip


@pytest.mark.parametrize("method", _PENALTIES)
@pytest.mark.parametrize("name", [_SPARSE, _DENSE])
def test_gradients_that_are_measured_are_those_of_the_loss_with_its_penalty(
    name: str, method: str
) -> None:
    task = TASKS[name]()
    network = network_for(task, 20, 33)
    assert_agree(
        network, task, gradient_magnitudes=True, initial=_elsewhere(network), learning_curve=True,
        intervention=make(method, l2_strength=0.1), epochs=2, max_steps=None,
        optimizer=OptimizerOptions(weight_decay=0.1),
    )  # fmt: skip


@pytest.mark.parametrize("method", _PENALTIES)
@pytest.mark.parametrize("name", [_SPARSE, _DENSE])
def test_a_penalty_moves_units_that_are_cut_off_from_the_output(name: str, method: str) -> None:
    task = TASKS[name]()
    network = network_for(task, 40)
    masks = random_masks(network, 0.3)
    masks["output.weight"][:, ::2] = False
    options: dict[str, Any] = {"initial": _elsewhere(network), "masks": masks}
    method_of_both = make(method, l2_strength=1e-2)
    assert_agree(network, task, intervention=method_of_both, **options)
    moved, _ = trained("fast", network, task, intervention=method_of_both, **options)
    before = network.get_parameter("hidden1.bias")
    assert (moved.get_parameter("hidden1.bias") != before)[::2].all()


@pytest.mark.parametrize("method", _PENALTIES)
@pytest.mark.parametrize("density", [1.0, 0.2])
def test_no_row_waits_under_a_penalty(method: str, density: float) -> None:
    """Late in training rows without a gradient may wait, but not those that a penalty moves."""
    task = TASKS["784 pixels, 1 in 1000 set"]()
    network, before = trained("generic", network_for(task, 32), task, batch_size=8, max_steps=990)
    masks = None if density == 1 else random_masks(network, density)
    for state in (before.optimizer_state, None):
        assert_agree(
            network, task, masks=masks, optimizer_state=state, max_steps=50, batch_size=4,
            initial=_elsewhere(network), intervention=make(method, l2_strength=1e-3),
        )  # fmt: skip


@settings(max_examples=40)
@given(
    method=st.sampled_from([*_PENALTIES, "l1_init", "huber_init"]),
    strength=st.sampled_from([0.0, 1e-4, 1e-2, 1.0]),
    pixels=st.integers(1, 40),
    hidden=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    share=st.sampled_from([0.02, 0.2, 1.0]),
    densities=st.none() | st.lists(st.floats(0, 1), min_size=4, max_size=4),
    masked=st.sampled_from(["zero", "freeze"]),
    batch_size=st.integers(1, 50),
    decay=st.sampled_from([0.0, 0.01]),
    carried=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_penalised_weights_agree_whatever_is_asked_for(
    method: str, strength: float, pixels: int, hidden: list[int], share: float,
    densities: list[float] | None, masked: str, batch_size: int, decay: float, carried: bool,
    seed: int,
) -> None:  # fmt: skip
    task = sparse_task(60, pixels, 3, share, seed)
    network = network_for(task, *hidden, seed=seed)
    options: dict[str, Any] = {
        "batch_size": batch_size, "optimizer": OptimizerOptions(weight_decay=decay),
        "intervention": make(
            method, l2_strength=strength, l1_strength=strength, huber_strength=strength
        ),
        "initial": _elsewhere(network),
    }  # fmt: skip
    state = None
    if carried:
        network, result = trained("generic", network, task, max_steps=3, **options)
        state = result.optimizer_state
    masks = None if densities is None else random_masks(network, densities[: len(hidden) + 1], seed)
    assert_agree(network, task, max_steps=20, masks=masks, masked=masked, optimizer_state=state,
                 learning_curve=True, **options)  # fmt: skip


@pytest.mark.parametrize("engine", ["generic", "fast"])
def test_l2_init_needs_to_know_the_beginning(engine: str) -> None:
    with pytest.raises(ValueError, match=r"^initial: must be given"):
        trained(engine, small_network(), random_task(), intervention=make("l2_init"))


@pytest.mark.parametrize("name", [_SPARSE, _DENSE])
def test_far_from_its_centre_hubers_penalty_pulls_no_harder(name: str) -> None:
    """Distances lie on both sides of 1, where its function changes."""
    task = TASKS[name]()
    network = network_for(task, 20, 33)
    assert_agree(
        network, task, intervention=make("huber_init", huber_strength=1e-2),
        initial={n: p.detach() * (1 + 2 / p.detach().std()) for n, p in network.named_parameters()},
    )  # fmt: skip


def _plant(monkeypatch: pytest.MonkeyPatch, mistake: Callable[[TrainingJob], TrainingJob]) -> None:
    """Lets the fast engine train another job than it is given."""
    right: Callable[[TrainingJob], TrainingResult] = fast.train
    monkeypatch.setattr(engines.fast, "train", lambda job: right(mistake(job)))


_MISTAKES: dict[str, Callable[[TrainingJob], dict[str, Any]]] = {
    "no penalty": lambda job: {"intervention": None},
    "half the gradient": lambda job: {"intervention": make("l2_init", l2_strength=0.5e-2)},
    "drawn to 0": lambda job: {"intervention": make("l2", l2_strength=1e-2)},
    "drawn to the start of the task": lambda job: {
        "initial": copy.deepcopy(job.network.state_dict())
    },
}


@pytest.mark.parametrize("mistake", _MISTAKES)
@pytest.mark.parametrize("name", [_SPARSE, _DENSE])
def test_penalties_with_a_mistake_do_not_agree(
    monkeypatch: pytest.MonkeyPatch, name: str, mistake: str
) -> None:
    task = TASKS[name]()
    network = network_for(task, 32)
    options: dict[str, Any] = {
        "intervention": make("l2_init", l2_strength=1e-2), "initial": _elsewhere(network),
    }  # fmt: skip
    assert_agree(network, task, **options)
    _plant(monkeypatch, lambda job: dataclasses.replace(job, **_MISTAKES[mistake](job)))
    with pytest.raises(AssertionError):
        assert_agree(network, task, **options)


# ------------------------------------------------------------------ between tasks


@pytest.mark.parametrize("whole_task", [True, False])
@pytest.mark.parametrize("density", [1.0, 0.8, 0.2])
@pytest.mark.parametrize("masked", ["zero", "freeze"])
@pytest.mark.parametrize("method", _AT_THE_END)
@pytest.mark.parametrize("name", [_SPARSE, _DENSE])
def test_methods_that_act_at_the_end_of_a_task_agree(
    name: str, method: str, masked: str, density: float, whole_task: bool
) -> None:
    """Weights and moments, with which the next task begins, and measures from before."""
    task = TASKS[name]()
    network = network_for(task, 20, 33)
    masks = None if density == 1 else random_masks(network, density)
    assert_agree(
        network, task, masks=masks, masked=masked, whole_task=whole_task, learning_curve=True,
        intervention=make(method), epochs=2, max_steps=None,
    )  # fmt: skip


def test_a_reset_network_is_the_generic_engines_bit_for_bit() -> None:
    task = load_digits()
    start, fresh = network_for(task, 32), []
    for engine in ("generic", "fast"):
        network, result = trained(
            engine, start, task, intervention=make("reset"), whole_task=True, max_steps=450
        )
        assert all(not tensor.any() for tensor in result.optimizer_state.values())
        assert result.test_accuracy > 0.5  # of the network before
        fresh.append(vector(network))
    assert torch.equal(bits(fresh[0]), bits(fresh[1]))
    assert not torch.equal(fresh[0], vector(start))


class _LooksOn(Intervention):
    """Notes what there is to see at the end of a task."""

    seen: dict[str, Any]

    def on_task_end(self, training: Training) -> None:
        flat: FlatParameters = training.flat
        assert training.initial is not None
        self.seen = {
            "step": training.step,
            "inputs": training.inputs.tolist(),
            "gradient": flat.gradient.abs().sum().item(),
            "moments": sorted(training.optimizer.state[flat.vector]),
            "draw": training.key.generator().random(3).tolist(),
            "draw from torch": torch.rand(3).tolist(),
            "initial": float(training.initial["0.bias"].sum()),
            "examples": len(training.task.train_labels),
            "training": training.network.training,
        }


def test_engines_show_a_method_the_same_at_the_end_of_a_task() -> None:
    seen = []
    for engine in ("generic", "fast"):
        network, method = small_network(), _LooksOn()
        state = torch.random.get_rng_state()
        trained(engine, network, random_task(), intervention=method, whole_task=True,
                initial=network.state_dict(), max_steps=7)  # fmt: skip
        assert torch.equal(torch.random.get_rng_state(), state)
        seen.append(method.seen)
    assert seen[0] == seen[1]
    assert seen[0]["step"] == 7
    assert seen[0]["inputs"] == []
    assert seen[0]["gradient"] == 0


class _Refusing(Intervention):
    def check(self, network: nn.Module) -> None:
        raise OptionError("intervention=refusing: must go with another network")


@pytest.mark.parametrize("engine", ["generic", "fast"])
def test_a_refused_network_stays_as_it_is(engine: str) -> None:
    network = small_network()
    masks, before = random_masks(network, 0.5), vector(network)
    with pytest.raises(OptionError, match=r"^intervention=refusing: must go with another"):
        trained(engine, network, random_task(), intervention=_Refusing(), whole_task=True,
                masks=masks, masked="freeze")  # fmt: skip
    assert torch.equal(bits(vector(network)), bits(before))
    trained(engine, network, random_task(), intervention=_Refusing())  # asked by streams alone


# ------------------------------------------------------------------ pruned weights


@pytest.mark.parametrize("method", [*_PENALTIES, *_AT_THE_END])
@settings(deadline=None, max_examples=20)
@given(
    masked=st.sampled_from(["zero", "freeze"]),
    density=st.floats(0.1, 0.9),
    share=st.sampled_from([0.1, 1.0]),
    decay=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 1000),
    carried=st.booleans(),
)
def test_pruned_weights_never_move_by_a_single_bit(
    method: str, masked: str, density: float, share: float, decay: float, seed: int, carried: bool
) -> None:
    task, network = sparse_task(60, 12, 3, share, seed), small_network(12, seed=seed)
    options: dict[str, Any] = {
        "intervention": make(method, l2_strength=0.1), "whole_task": True, "max_steps": 6,
        "batch_size": 16, "optimizer": OptimizerOptions(lr=0.01, weight_decay=decay),
        "initial": _elsewhere(network),
    }  # fmt: skip
    state = None
    if carried:
        network, result = trained("fast", network, task, key=KEY.child("before"), **options)
        state = result.optimizer_state
    before, masks = weights_of(network), random_masks(network, density, seed)
    after, _ = trained(
        "fast", network, task, masks=masks, masked=masked, optimizer_state=state, **options
    )
    assert_pruned_stay(after, before, masks, masked)
    assert not torch.equal(vector(after), vector(network))
