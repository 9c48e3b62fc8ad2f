"""Stacked training: each member as if it were trained alone."""

from __future__ import annotations

import copy
import dataclasses
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn

from raylot import networks
from raylot.config import NetworkOptions, OptimizerOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.tasks import Task
from raylot.training import (
    Intervention,
    TrainingJob,
    TrainingResult,
    evaluate,
    generic,
    train_all,
)
from raylot.training.stacked import graph, train_stacked, why_not
from raylot.training.stacked import training as stacked_training
from raylot.training.stacked.forward import stacked_logits
from tests.support.tasks import random_task, small_network
from tests.unit.training import emulated_cuda_graphs
from tests.unit.training.networks import assert_pruned_stay, bits, random_masks, vector, weights_of
from tests.unit.training.optimizers import EXTRAS, OPTIMIZERS, STACKED

_KEY = RandomKey((0, "test"))


def _job(member: int = 0, **changes: Any) -> TrainingJob:
    """A job with a network, a data order and, unless given, a task that no other member has."""
    options: dict[str, Any] = {
        "network": small_network(seed=member),
        "task": random_task(seed=member),
        "epochs": 2,
        "batch_size": 16,  # 40 examples: batches of 16, 16 and 8
        "optimizer": OptimizerOptions(lr=0.01),
        "key": _KEY.child("member", member),
    }
    return TrainingJob(**options | changes)


def _alone(jobs: Sequence[TrainingJob]) -> tuple[list[TrainingJob], list[TrainingResult]]:
    """The same jobs trained one after another, on copies of their networks."""
    copies = [dataclasses.replace(job, network=copy.deepcopy(job.network)) for job in jobs]
    return copies, [generic.train(job) for job in copies]


def _assert_close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5, equal_nan=True)


def _assert_as_alone(jobs: Sequence[TrainingJob]) -> list[TrainingResult]:
    """Trains jobs stacked, and holds all that comes of it against each trained alone."""
    copies, expected = _alone(jobs)
    results = train_stacked(jobs)
    assert len(results) == len(jobs)
    for job, other, result, alone in zip(jobs, copies, results, expected, strict=True):
        _assert_close(vector(job.network), vector(other.network))
        assert result.steps == alone.steps
        assert result.diverged == alone.diverged
        for name in ("train_loss", "test_loss"):
            value = getattr(alone, name)
            assert getattr(result, name) == pytest.approx(value, rel=1e-4, nan_ok=True), name
        for name in ("online_accuracy", "test_accuracy", "learning_speed"):
            assert getattr(result, name) == pytest.approx(getattr(alone, name), nan_ok=True), name
        assert result.optimizer_state.keys() == alone.optimizer_state.keys()
        for name, tensor in alone.optimizer_state.items():
            _assert_close(result.optimizer_state[name], tensor)
        assert (result.gradient_magnitudes is None) == (alone.gradient_magnitudes is None)
        for name, tensor in (alone.gradient_magnitudes or {}).items():
            assert result.gradient_magnitudes is not None
            _assert_close(result.gradient_magnitudes[name], tensor)
        assert (result.gradient_products is None) == (alone.gradient_products is None)
        for name, tensor in (alone.gradient_products or {}).items():
            assert result.gradient_products is not None
            _assert_close(result.gradient_products[name], tensor)
        assert job.network.training
        assert all(p.grad is None for p in job.network.parameters())
        assert result.engine == "stacked"
    return results


def _mixed(members: int, **changes: Any) -> list[TrainingJob]:
    """A dense member, then masked ones, freezing and zeroing in turn."""
    jobs = [_job(member, **changes) for member in range(members)]
    return [
        dataclasses.replace(
            job,
            masks=random_masks(job.network, 0.4, member) if member else None,
            masked="freeze" if member % 2 else "zero",
        )
        for member, job in enumerate(jobs)
    ]


# ------------------------------------------------------------------ as if trained alone


@pytest.mark.parametrize("members", [1, 3, 5])
@pytest.mark.parametrize("name", STACKED)
def test_dense_zeroed_and_frozen_members_train_as_they_do_alone(name: str, members: int) -> None:
    """On tasks, from weights and in data orders of their own."""
    results = _assert_as_alone(_mixed(members, optimizer=OPTIMIZERS[name]))
    assert all(result.steps == 6 for result in results)
    assert len({result.train_loss for result in results}) == members


def test_members_may_share_a_task_or_its_images() -> None:
    task = random_task()
    turned = dataclasses.replace(
        task, train_labels=2 - task.train_labels, test_labels=2 - task.test_labels
    )
    tasks = (task, random_task(seed=1), task, turned)
    jobs = [_job(k, task=each, network=small_network()) for k, each in enumerate(tasks)]
    _assert_as_alone(jobs)
    assert not torch.equal(vector(jobs[0].network), vector(jobs[2].network))


def _image_task(seed: int) -> Task:
    """Images of digits' size and values, scaled as digits can be."""
    flat = random_task(examples=60, pixels=64, classes=10, seed=seed)
    return dataclasses.replace(
        flat,
        train_inputs=flat.train_inputs.view(-1, 1, 8, 8),
        test_inputs=flat.test_inputs.view(-1, 1, 8, 8),
        offset=4.9,
        divisor=6.0,
    )


def _seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


_ARCHITECTURES: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: networks.mlp((1, 8, 8), (32, 16), 10),
    "lenet": lambda: networks.lenet((1, 8, 8), 10),
    "resnet with layer normalisation": lambda: networks.resnet((1, 8, 8), 4, 10, norm="layer"),
    "mlp with layer normalisation": lambda: networks.mlp((1, 8, 8), (32, 16), 10, norm="layer"),
    "lenet with prelu": lambda: networks.lenet((1, 8, 8), 10, activation="prelu"),
    "conv4": lambda: _small("conv4", norm="group", activation="crelu"),
    "vgg11": lambda: _small("vgg11", norm="layer", activation="fourier"),
    "resnet20": lambda: _small("resnet20"),
    "vit": lambda: _small("vit", vit_dimension=8, vit_depth=2, activation="gelu"),
}


def _small(network: str, **options: Any) -> nn.Module:
    chosen = NetworkOptions.checked(network=network, width_scale=0.25, **options)
    return networks.NETWORKS[network]((1, 8, 8), chosen, 10)


@pytest.mark.parametrize("architecture", _ARCHITECTURES)
def test_networks_of_the_library_train_as_they_do_alone(architecture: str) -> None:
    jobs = []
    # Adam would make a whole step of a gradient that is nothing but rounding.
    options = OptimizerOptions(optimizer="sgd", lr=0.01, momentum=0.9)
    for member in range(3):
        network = _seeded(_ARCHITECTURES[architecture], member)
        masks = random_masks(network, 0.5, member) if member else None
        jobs.append(
            _job(member, network=network, task=_image_task(member), masks=masks, optimizer=options)
        )
    _assert_as_alone(jobs)


class _Perceptron(nn.Sequential):
    """Prints like another class's, and puts out something else."""

    def forward(self, inputs: Tensor) -> Tensor:
        return -super().forward(inputs)


def _with_a_relu_used_twice() -> nn.Module:
    relu = nn.ReLU()
    return nn.Sequential(nn.Linear(6, 4), relu, nn.Linear(4, 3), relu)


@pytest.mark.parametrize(
    ("make", "shape", "is_chain"),
    [
        (lambda: nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3)), (6,), True),
        (lambda: networks.mlp((1, 8, 8), (5, 4), 10), (1, 8, 8), True),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(6, 3)), (2, 3), True),
        (lambda: nn.Sequential(nn.Linear(3, 2), nn.Flatten(), nn.Linear(4, 3)), (2, 3), False),
        (lambda: nn.Sequential(nn.Flatten(2), nn.Linear(6, 3), nn.Flatten()), (2, 2, 3), False),
        (lambda: nn.Sequential(nn.Linear(6, 4, bias=False), nn.Linear(4, 3)), (6,), False),
        (lambda: nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)), (6,), False),
        (lambda: _Perceptron(nn.Linear(6, 3)), (6,), False),
        (_with_a_relu_used_twice, (6,), False),
        (lambda: nn.Linear(6, 3), (6,), False),
    ],
)
def test_stacked_logits_are_those_of_each_network(
    make: Callable[[], nn.Module],
    shape: tuple[int, ...],
    is_chain: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    members = [_seeded(make, seed) for seed in range(3)]
    stacked = {
        name: torch.stack([member.get_parameter(name).detach() for member in members])
        for name, _ in members[0].named_parameters()
    }
    inputs = torch.randn(3, 5, *shape, generator=torch.Generator().manual_seed(0))
    vectorised = []
    vmap = torch.vmap
    monkeypatch.setattr(torch, "vmap", lambda f: vectorised.append(f) or vmap(f))
    found = stacked_logits(members[0], stacked, inputs)
    for member, own, logits in zip(members, inputs, found, strict=True):
        torch.testing.assert_close(logits, member(own))
    assert bool(vectorised) != is_chain


@pytest.mark.parametrize("max_steps", [0, 1, 3, 4, 6, 1000])
def test_max_steps(max_steps: int) -> None:
    options = OptimizerOptions(optimizer="sgd", lr=0.01, momentum=0.9)
    jobs = [_job(member, max_steps=max_steps, optimizer=options) for member in range(3)]
    if not max_steps:  # a state that was never stepped is empty alone, and 0 here
        before = [vector(job.network) for job in jobs]
        results = train_stacked(jobs)
        assert [result.steps for result in results] == [0, 0, 0]
        assert all(torch.equal(vector(j.network), b) for j, b in zip(jobs, before, strict=True))
        return
    results = _assert_as_alone(jobs)
    assert all(result.steps == min(6, max_steps) for result in results)


@pytest.mark.parametrize("max_steps", [None, 4])
def test_learning_curve(max_steps: int | None) -> None:
    results = _assert_as_alone(_mixed(3, learning_curve=True, epochs=3, max_steps=max_steps))
    assert all(result.learning_speed is not None for result in results)


def test_measured_gradients_of_those_that_ask() -> None:
    jobs = [
        dataclasses.replace(job, gradient_magnitudes=member != 1, gradient_products=member > 0)
        for member, job in enumerate(_mixed(3))
    ]
    results = _assert_as_alone(jobs)
    assert [result.gradient_magnitudes is None for result in results] == [False, True, False]
    assert [result.gradient_products is None for result in results] == [True, False, False]


@pytest.mark.parametrize("name", STACKED)
def test_the_optimizer_is_carried_on(name: str) -> None:
    jobs = _mixed(3, optimizer=OPTIMIZERS[name])
    results = train_stacked(jobs)
    again = [
        dataclasses.replace(job, optimizer_state=result.optimizer_state, key=_KEY.child("again", k))
        for k, (job, result) in enumerate(zip(jobs, results, strict=True))
    ]
    kept = [{n: t.clone() for n, t in job.optimizer_state.items()} for job in again]
    _assert_as_alone(again)
    for job, state in zip(again, kept, strict=True):
        for tensor_name, tensor in state.items():  # what was handed in is left alone
            assert torch.equal(job.optimizer_state[tensor_name], tensor)


def test_momentum_is_carried_on_by_those_that_have_some() -> None:
    options = OPTIMIZERS["sgd with momentum and weight decay"]
    jobs = [_job(member, optimizer=options) for member in range(2)]
    state = train_stacked([_job(7, optimizer=options)])[0].optimizer_state
    _assert_as_alone([jobs[0], dataclasses.replace(jobs[1], optimizer_state=state)])


def test_frozen_parameters_are_each_members_own_and_stay() -> None:
    jobs = [_job(member) for member in range(3)]
    for job in jobs:
        job.network.get_parameter("0.weight").requires_grad_(False)
    first = [job.network.get_parameter("0.weight").clone() for job in jobs]
    _assert_as_alone(jobs)
    for job, weight in zip(jobs, first, strict=True):
        assert torch.equal(job.network.get_parameter("0.weight"), weight)


class _WithAnUnusedLayer(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(6, 3))
        self.spare = nn.ModuleList([nn.Linear(2, 2)])

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self[0](inputs)
        return outputs


def test_a_parameter_without_use_stays() -> None:
    jobs = [_job(member, network=_seeded(_WithAnUnusedLayer, member)) for member in range(2)]
    _assert_as_alone(jobs)


class _LouderInTraining(nn.Linear):
    """Puts out other logits in training than in evaluation, as some networks do."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) * (1 + self.training)


def test_networks_are_trained_in_training_and_evaluated_in_evaluation_mode() -> None:
    jobs = [
        _job(k, network=_seeded(lambda: _LouderInTraining(6, 3), k), learning_curve=True)
        for k in range(2)
    ]
    for job in jobs:
        job.network.eval()
    _assert_as_alone(jobs)


def test_evaluations_larger_than_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacked_training, "STACKED_EVALUATION_BATCH", 3 * 7)  # of 20 test examples
    _assert_as_alone(_mixed(3, learning_curve=True))


def test_nobody_elses_random_state_is_disturbed() -> None:
    state = torch.random.get_rng_state()
    train_stacked([_job(member) for member in range(2)])
    assert torch.equal(torch.random.get_rng_state(), state)


def test_no_jobs_have_no_results() -> None:
    assert train_stacked([]) == []


# ------------------------------------------------------------------ pruned weights


@settings(deadline=None, max_examples=40)
@given(
    optimizer=st.sampled_from(STACKED),
    members=st.lists(
        st.tuples(st.sampled_from(["zero", "freeze"]), st.floats(0, 1)), min_size=1, max_size=4
    ),
    seed=st.integers(0, 10_000),
    carried=st.booleans(),
    diverging=st.booleans(),
)
def test_pruned_weights_never_move_by_a_single_bit(
    optimizer: str,
    members: list[tuple[str, float]],
    seed: int,
    carried: bool,
    diverging: bool,
) -> None:
    """Whatever the optimizer, its moments, the other members, or their divergence."""
    jobs = []
    for member, (masked, density) in enumerate(members):
        network = small_network(seed=seed + member)
        if diverging and member == 0:
            network.get_parameter("0.weight").data.mul_(1e38)
        jobs.append(
            _job(
                seed + member, network=network, masks=random_masks(network, density, seed + member),
                masked=masked, optimizer=OPTIMIZERS[optimizer],
            )
        )  # fmt: skip
    if carried:
        dense = [
            dataclasses.replace(job, masks=None, network=small_network(seed=seed)) for job in jobs
        ]
        jobs = [
            dataclasses.replace(job, optimizer_state=result.optimizer_state)
            for job, result in zip(jobs, train_stacked(dense), strict=True)
        ]
    before = [weights_of(job.network) for job in jobs]
    train_stacked(jobs)
    for job, weights in zip(jobs, before, strict=True):
        assert job.masks is not None
        assert_pruned_stay(job.network, weights, job.masks, job.masked)


@pytest.mark.parametrize("diverging", [False, True])
def test_not_even_pruned_weights_that_arithmetic_would_flush_to_zero_move(diverging: bool) -> None:
    task = _poisoned(random_task()) if diverging else random_task()
    job = _job(task=task, masked="freeze")
    weight = job.network.get_parameter("0.weight")
    weight.data.fill_(1e-40)
    job = dataclasses.replace(job, masks={"0.weight": torch.zeros_like(weight, dtype=torch.bool)})
    before = bits(weight).clone()
    assert train_stacked([job])[0].diverged == diverging
    assert (before > 0).all()
    assert torch.equal(bits(weight), before)


# ------------------------------------------------------------------ divergence


def _as_floats(task: Task) -> Task:
    return dataclasses.replace(
        task, train_inputs=task.train_inputs.float(), test_inputs=task.test_inputs.float()
    )


def _poisoned(task: Task) -> Task:
    """The same with an infinite value, as float32."""
    task = _as_floats(task)
    task.train_inputs[3, 0] = math.inf
    return task


@pytest.mark.parametrize("learning_curve", [False, True])
def test_a_diverging_member_stops_and_disturbs_nobody(learning_curve: bool) -> None:
    """Its second epoch is its last: in the first, an example of 1e30 that it gets wrong leaves
    weights of 1e26; in the second, their product overflows. The others train for all four."""
    options = OptimizerOptions(optimizer="sgd", lr=0.01)
    tasks = [_as_floats(random_task(seed=member)) for member in range(3)]
    jobs = [
        _job(member, network=_seeded(lambda: nn.Linear(6, 3), member), task=tasks[member],
             optimizer=options, epochs=4, learning_curve=learning_curve)
        for member in range(3)
    ]  # fmt: skip
    jobs[0] = dataclasses.replace(jobs[0], masks=random_masks(jobs[0].network, 0.5))
    weight = jobs[1].network.get_parameter("weight")
    tasks[1].train_inputs[5, 0] = 1e30
    tasks[1].train_labels[5] = weight[:, 0].argmin()
    results = _assert_as_alone(jobs)
    assert [result.diverged for result in results] == [False, True, False]
    assert [result.steps for result in results] == [12, 6, 12]
    assert math.isnan(results[1].train_loss)


def test_members_that_diverge_all_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    steps, take = [], stacked_training._Stack._step
    monkeypatch.setattr(
        stacked_training._Stack, "_step", lambda self, index: steps.append(take(self, index))
    )
    jobs = [
        _job(member, task=_poisoned(random_task(seed=member)), gradient_magnitudes=True)
        for member in range(2)
    ]
    results = _assert_as_alone(jobs)
    assert all(result.diverged and result.steps == 3 for result in results)
    assert len(steps) == 3


# ------------------------------------------------------------------ captured


@pytest.mark.parametrize("name", STACKED)
@pytest.mark.parametrize("carried", [False, True])
def test_a_captured_step_does_the_same_bit_for_bit(
    name: str, carried: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With CUDA's graphs played on the CPU: nothing of a step may hang on Python's state."""
    states = [None] * 3
    if carried:
        first = [_job(member, optimizer=OPTIMIZERS[name]) for member in range(3)]
        states = [result.optimizer_state for result in train_stacked(first)]  # type: ignore[misc]
    jobs = [
        dataclasses.replace(job, optimizer_state=state)
        for job, state in zip(
            _mixed(
                3, optimizer=OPTIMIZERS[name], gradient_magnitudes=True, gradient_products=True,
                learning_curve=True,
            ),
            states,
            strict=True,
        )
    ]  # fmt: skip
    copies = [dataclasses.replace(job, network=copy.deepcopy(job.network)) for job in jobs]
    expected = train_stacked(copies)

    emulated_cuda_graphs.install(monkeypatch)
    monkeypatch.setattr(graph, "CAPTURED_ON", "cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = train_stacked(jobs)

    # Two epochs of 40 examples: four batches of 16, two of 8.
    assert [made.replays for made in emulated_cuda_graphs.Graph.made] == [4, 2]
    for job, other, result, plain in zip(jobs, copies, results, expected, strict=True):
        assert torch.equal(bits(vector(job.network)), bits(vector(other.network)))
        for field in ("steps", "train_loss", "online_accuracy", "test_loss", "learning_speed"):
            assert getattr(result, field) == getattr(plain, field), field
        for tensor_name, tensor in plain.optimizer_state.items():
            assert torch.equal(result.optimizer_state[tensor_name], tensor)
        for field in ("gradient_magnitudes", "gradient_products"):
            found, others = getattr(result, field), getattr(plain, field)
            assert all(torch.equal(found[name], tensor) for name, tensor in others.items()), field


def test_a_convolutional_network_can_be_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [
        _job(member, network=_seeded(_ARCHITECTURES["lenet"], member), task=_image_task(member))
        for member in range(2)
    ]
    copies = [dataclasses.replace(job, network=copy.deepcopy(job.network)) for job in jobs]
    train_stacked(copies)
    emulated_cuda_graphs.install(monkeypatch)
    monkeypatch.setattr(graph, "CAPTURED_ON", "cpu")
    train_stacked(jobs)
    for job, other in zip(jobs, copies, strict=True):
        assert torch.equal(bits(vector(job.network)), bits(vector(other.network)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", STACKED)
@pytest.mark.parametrize("architecture", [None, "lenet"])
def test_members_train_on_a_gpu_as_they_do_alone_there(name: str, architecture: str | None) -> None:
    jobs = []
    for job in _mixed(3, optimizer=OPTIMIZERS[name], learning_curve=True):
        network, task, masks = job.network, job.task, job.masks
        if architecture:
            network, task, masks = _seeded(_ARCHITECTURES[architecture], 0), _image_task(0), None
        device = torch.device("cuda")
        jobs.append(
            dataclasses.replace(job, network=network.to(device), task=task.to(device), masks=masks)
        )
    _assert_as_alone(jobs)


# ------------------------------------------------------------------ what cannot be stacked


class _Branching(nn.Linear):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs if inputs.sum() > 0 else -inputs)


def _sequence(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), *layers, nn.Linear(8, 3))


def _without(examples: int, split: str) -> Task:
    task = random_task(seed=1)
    names = (f"{split}_inputs", f"{split}_labels")
    return dataclasses.replace(task, **{name: getattr(task, name)[examples:] for name in names})


_ADAM_STATE = {
    "step": torch.tensor(5.0), "exp_avg": torch.zeros(83), "exp_avg_sq": torch.zeros(83),
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"intervention": Intervention()}, "an intervention"),
        ({"previous": random_task(), "gradual": 0.5}, "a task that fades out"),
        ({"network": _sequence(nn.BatchNorm1d(8))}, "running statistics"),
        ({"network": _sequence(nn.Tanh())}, "different architectures"),
        ({"network": small_network(hidden=9)}, "different architectures"),
        ({"epochs": 3}, "different epochs"),
        ({"batch_size": 8}, "different batch sizes"),
        ({"drop_last": True}, "different drop_last"),
        ({"max_steps": 3}, "different max_steps"),
        ({"learning_curve": True}, "different learning_curve"),
        ({"optimizer": OptimizerOptions(lr=0.02)}, "different optimizers"),
        ({"optimizer_state": _ADAM_STATE}, "different optimizer steps taken before"),
        ({"task": random_task(pixels=7)}, "different input shapes"),
        ({"task": _poisoned(random_task())}, "different input types"),
        ({"task": dataclasses.replace(random_task(), divisor=2.0)}, "different scalings"),
        ({"task": _without(1, "train")}, "different numbers of training examples"),
        ({"task": _without(1, "test")}, "different numbers of test examples"),
    ],
)
def test_reasons_against_a_job_beside_a_plain_one(changes: dict[str, Any], reason: str) -> None:
    jobs = [_job(0), _job(1, **changes)]
    found = why_not(jobs)
    assert found is not None
    assert reason in found


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("rmsprop", "optimizer rmsprop"), ("cosine", "schedule"), ("falling in steps", "schedule"),
        ("smoothed labels and short gradients", "label_smoothing"),
        ("short gradients", "optimizer rmsprop"), ("bfloat16", "precision"),
    ],
)  # fmt: skip
def test_steps_that_it_cannot_take(name: str, reason: str) -> None:
    """Not even if all jobs ask for them; another engine takes them."""
    jobs = [_job(member, optimizer=(OPTIMIZERS | EXTRAS)[name]) for member in range(2)]
    assert why_not(jobs) == reason
    with pytest.raises(OptionError, match=f"because of {reason}$"):
        train_all(jobs, "stacked")


def _with_a_layer_used_twice() -> nn.Module:
    square = nn.Linear(6, 6)
    return nn.Sequential(square, nn.ReLU(), square, nn.Linear(6, 3))


def _with_tied_weights() -> nn.Module:
    network = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
    network[1].weight = network[0].weight
    return network


@pytest.mark.parametrize("make", [_with_a_layer_used_twice, _with_tied_weights])
def test_networks_with_a_weight_in_several_places(make: Callable[[], nn.Module]) -> None:
    """They would be spoilt (pytorch issue 164759): not so here, not even by asking."""
    jobs = [_job(member, network=make()) for member in range(2)]
    before = vector(jobs[0].network)
    assert why_not(jobs) == "a network with a weight in several places"
    assert torch.equal(vector(jobs[0].network), before)


@pytest.mark.parametrize(
    "make",
    [lambda: _sequence(nn.Dropout(0.5)), lambda: _Branching(6, 3)],
    ids=["dropout", "decides by values"],
)
def test_networks_that_cannot_be_vectorised(make: Callable[[], nn.Module]) -> None:
    jobs = [_job(member, network=make().eval()) for member in range(2)]
    found = why_not(jobs)
    assert found is not None
    assert "dropout or another operation" in found


class _Counting(nn.Linear):
    """Its output depends on how often it was trained."""

    passes = 0

    def forward(self, inputs: Tensor) -> Tensor:
        self.passes = self.passes + self.training
        return super().forward(inputs) * self.passes


class _Cached(nn.Linear):
    """Keeps a tensor from its first forward pass."""

    scale: Tensor | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        if self.scale is None:
            self.scale = inputs.new_ones(3)
        return super().forward(inputs) * self.scale


@pytest.mark.parametrize("kind", [_Counting, _Cached])
def test_networks_that_change_as_they_compute(kind: type[nn.Linear]) -> None:
    """Asking leaves nothing behind in them, such as a tensor that is of use in a stack alone."""
    jobs = [_job(member, network=kind(6, 3)) for member in range(2)]
    before = vars(jobs[0].network).copy()
    assert why_not(jobs) == "a network that changes its own attributes"
    assert vars(jobs[0].network) == before
    evaluate(jobs[0].network, jobs[0].task)
    evaluate(jobs[1].network, jobs[1].task)
    assert (why_not(jobs) is None) == (kind is _Cached)


def test_parts_in_evaluation_mode_stay_in_it() -> None:
    jobs = [_job(member, network=_sequence(nn.Dropout(0.5)), learning_curve=True)
            for member in range(2)]  # fmt: skip
    jobs[0].network[1].eval()
    assert why_not(jobs) == "different training modes"
    jobs[1].network[1].eval()
    _assert_as_alone(jobs)
    assert not jobs[0].network[1].training
    assert jobs[0].network.training


def test_drop_last() -> None:
    jobs = [_job(member, drop_last=True) for member in range(2)]
    assert [result.steps for result in _assert_as_alone(jobs)] == [4, 4]


def test_parameters_that_differ_in_what_is_trained() -> None:
    jobs = [_job(0), _job(1)]
    jobs[1].network.get_parameter("0.bias").requires_grad_(False)
    assert why_not(jobs) == "different parameters"


def test_one_network_cannot_be_two_members() -> None:
    network = small_network()
    assert why_not([_job(0, network=network), _job(1, network=network)]) == (
        "one network in several jobs"
    )


def test_nothing_is_against_what_may_differ_and_asking_changes_nothing() -> None:
    jobs = _mixed(4)
    for job in jobs:
        job.network.eval()
    vectors = [vector(job.network) for job in jobs]
    assert why_not(jobs) is None
    assert why_not([]) is None
    # gradual without a task before, and that without gradual, change nothing alone either
    assert why_not([_job(0, gradual=0.5), _job(1, previous=random_task())]) is None
    assert not any(job.network.training for job in jobs)
    for job, before in zip(jobs, vectors, strict=True):
        assert torch.equal(vector(job.network), before)
