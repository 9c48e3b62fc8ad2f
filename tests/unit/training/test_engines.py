"""The choice of an engine: the fast one exactly where it does all that a job asks for."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import nn

from raylot import networks
from raylot.config import InterventionOptions, OptimizerOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.interventions.l2 import L2
from raylot.masks.pruning import full_masks
from raylot.tasks import Task
from raylot.training import (
    Intervention,
    Training,
    TrainingJob,
    TrainingResult,
    engines,
    stacked,
    train,
    train_all,
)
from raylot.training.stacked.members import Members
from tests.support.tasks import random_task, small_network
from tests.unit.interventions.trainings import make


def _trained(network: nn.Module, task: Task, **options: Any) -> TrainingResult:
    usual: dict[str, Any] = {
        "epochs": 1, "batch_size": 16, "optimizer": OptimizerOptions(), "max_steps": 2,
        "key": RandomKey((0, "test")),
    }  # fmt: skip
    return train(network, task, **{**usual, **options})


def _linear(*sizes: int) -> list[nn.Linear]:
    return [nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]


def _chain(*sizes: int) -> nn.Module:
    first, *rest = _linear(*sizes)
    return nn.Sequential(first, *(m for layer in rest for m in (nn.ReLU(), layer)))


_FITTING: dict[str, Callable[[], nn.Module]] = {
    "one hidden layer": lambda: _chain(6, 8, 3),
    "three": lambda: _chain(6, 8, 5, 7, 3),
    "raylot's own": lambda: networks.mlp((6,), (8, 4), 3),
    "nested": lambda: nn.Sequential(nn.Flatten(), nn.Sequential(_chain(6, 8), nn.ReLU()),
                                    nn.Linear(8, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", _FITTING)
def test_relu_mlps_are_for_the_fast_engine(name: str) -> None:
    for engine, expected in (("auto", "fast"), ("fast", "fast"), ("generic", "generic")):
        assert _trained(_FITTING[name](), random_task(), engine=engine).engine == expected


class _PenaltyOfItsOwn(L2):
    def loss_term(self, training: Training) -> torch.Tensor:
        return training.flat.vector.abs().sum()


class _Counting(Intervention):
    counts_per_weight = True


def _acting(place: str, method: Intervention | None = None) -> Intervention:
    """A method with a function of its own at a place, which does nothing there."""
    method = method or Intervention()
    base = Intervention()
    setattr(method, place, lambda training: getattr(base, place)(training))
    return method


#: Places within steps, or where the optimizer may be changed before them.
_PLACES = ("on_task_start", "after_gradient", "after_step", "evaluation", "loss_term")


@pytest.mark.parametrize(
    "options",
    [
        {"masked": "freeze", "masks": full_masks(small_network())},
        {"learning_curve": True},
        {"gradient_magnitudes": True},
        {"previous": random_task(seed=1), "gradual": 0.5},
        {"optimizer": OptimizerOptions(weight_decay=0.1)},
        {"optimizer": OptimizerOptions(optimizer="adamw")},
        {"optimizer": OptimizerOptions(optimizer="sgd", momentum=0.9)},
        {"whole_task": True},
        {"batch_size": 2000},
        {"intervention": Intervention()},
        {"intervention": make("l2")},
        {"intervention": make("l2_init"), "initial": small_network().state_dict()},
        {"intervention": make("reset"), "whole_task": True},
        {"intervention": make("shrink_and_perturb"), "whole_task": True},
        {"intervention": make("shrink_and_perturb")},
        {"optimizer": OptimizerOptions(optimizer="rmsprop")},
        {"optimizer": OptimizerOptions(schedule="step")},
        {"optimizer": OptimizerOptions(warmup=0.1)},
        {"optimizer": OptimizerOptions(label_smoothing=0.1)},
        {"optimizer": OptimizerOptions(clip_norm=1)},
        *({"intervention": _acting(place)} for place in _PLACES),
        {"intervention": _PenaltyOfItsOwn(InterventionOptions())},
        {"intervention": _acting("after_step", L2(InterventionOptions()))},
        {"intervention": _Counting()},
        {"intervention": make("redo")},
        {"intervention": make("shrink_and_perturb", perturb_every="step")},
        {"masks": full_masks(small_network()), "gradient_magnitudes": True},
        {"gradient_products": True},
        {"masks": {"0.bias": torch.ones(8, dtype=torch.bool)}},
        {"task": dataclasses.replace(random_task(), shown=3)},
    ],
    ids=lambda options: "+".join(options),
)
def test_most_options_are_for_the_fast_engine(options: dict[str, Any]) -> None:
    for engine in ("auto", "fast"):
        assert (
            _trained(small_network(), **{"task": random_task(), **options}, engine=engine).engine
            == "fast"
        )


class _Own(nn.Module):
    """Computes something else from the same layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = small_network()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return -self.layers(inputs)


class _OwnSequence(nn.Sequential):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return -super().forward(inputs)


class _OwnLinear(nn.Linear):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return -super().forward(inputs)


def _hooked(register: str) -> nn.Module:
    network = small_network()
    getattr(network[1], register)(lambda *_: None)  # type: ignore[index]
    return network


def _with_a_hooked_weight() -> nn.Module:
    network = small_network()
    network.get_parameter("0.weight").register_hook(lambda gradient: gradient)
    return network


def _with_a_frozen_parameter() -> nn.Module:
    network = small_network()
    network.get_parameter("0.bias").requires_grad_(False)
    return network


def _with_a_shared_layer() -> nn.Module:
    layer = nn.Linear(6, 6)
    return nn.Sequential(layer, nn.ReLU(), layer, nn.ReLU(), nn.Linear(6, 3))


def _with_a_shared_weight() -> nn.Module:
    first, second, last = _linear(6, 6, 6, 3)
    second.weight = first.weight
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last)


def _spectrally_normalised() -> nn.Module:
    network = small_network()
    nn.utils.parametrizations.spectral_norm(network[0])  # type: ignore[index]
    return network


_NOT_FITTING: dict[str, Callable[[], nn.Module]] = {
    "no hidden layer": lambda: nn.Linear(6, 3),
    "two linear layers in a row": lambda: nn.Sequential(*_linear(6, 8, 3)),
    "ReLU at the end": lambda: nn.Sequential(*small_network(), nn.ReLU()),  # type: ignore[misc]
    "another activation": lambda: nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)),
    "leaky ReLU": lambda: nn.Sequential(nn.Linear(6, 8), nn.LeakyReLU(), nn.Linear(8, 3)),
    "dropout": lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 3)),
    "normalised": lambda: nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)
    ),
    "no bias": lambda: nn.Sequential(nn.Linear(6, 8, False), nn.ReLU(), nn.Linear(8, 3)),
    "no bias at the end": lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3, False)),
    "a module of one's own": _Own,
    "a sequence of one's own": lambda: _OwnSequence(*small_network()),  # type: ignore[misc]
    "a layer of one's own": lambda: nn.Sequential(_OwnLinear(6, 8), nn.ReLU(), nn.Linear(8, 3)),
    "a hook": lambda: _hooked("register_forward_hook"),
    "a hook before": lambda: _hooked("register_forward_pre_hook"),
    "a hook backward": lambda: _hooked("register_full_backward_hook"),
    "a hook on a weight": _with_a_hooked_weight,
    "a frozen parameter": _with_a_frozen_parameter,
    "a shared layer": _with_a_shared_layer,
    "a shared weight": _with_a_shared_weight,
    "parametrised": _spectrally_normalised,
}


def _assert_generic(reason: str, network: nn.Module, task: Task, **options: Any) -> None:
    """auto takes the generic engine; fast is refused in one line that says why."""
    assert _trained(network, task, **options).engine == "generic"
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(OptionError) as refusal:
        _trained(network, task, engine="fast", **options)
    assert str(refusal.value) == f"engine=fast: must be auto or generic here, as {reason}"
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("name", _NOT_FITTING)
def test_other_networks_are_not(name: str) -> None:
    _assert_generic(
        "it is for chains of linear layers with ReLU between them",
        _NOT_FITTING[name](),
        random_task(),
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"optimizer": OptimizerOptions(precision="bfloat16")}, "it computes in float32 alone"),
        (
            {"intervention": _acting("watch")},
            "the intervention may put hooks into the network (see observed_layers)",
        ),
    ],
    ids=["precision", "watch"],
)
def test_options_that_the_fast_engine_lacks(options: dict[str, Any], reason: str) -> None:
    _assert_generic(reason, small_network(), random_task(), **options)


@pytest.mark.parametrize("value", [-100, 3, 2**40])
@pytest.mark.parametrize("labels", ["train_labels", "test_labels"])
def test_labels_that_were_written_over_never_reach_compiled_code(labels: str, value: int) -> None:
    """A task checks its labels once; compiled code would take these for places in memory."""
    task = random_task()
    getattr(task, labels)[::2] = value
    with pytest.raises(OptionError, match="the task's inputs or labels do not fit the network"):
        _trained(small_network(), task, engine="fast")


@pytest.mark.parametrize("engine", ["auto", "generic", "fast"])
@pytest.mark.parametrize("sizes", [(5, 3), (7, 3), (6, 2)], ids=str)
def test_a_network_that_does_not_fit_the_task_is_refused(
    sizes: tuple[int, int], engine: str
) -> None:
    """As PyTorch does; compiled code would read and write beyond the end of its arrays."""
    pixels, classes = sizes
    inputs = torch.zeros(60, 6, dtype=torch.uint8)
    inputs[:, 5] = 3
    task = Task(inputs[:40], torch.arange(40) % 3, inputs[40:], torch.arange(20) % 3, 3)
    with pytest.raises((RuntimeError, IndexError, OptionError)):
        _trained(small_network(pixels, classes=classes), task, engine=engine)


# ------------------------------------------------------------------ several jobs


def _jobs(count: int, **changes: Any) -> list[TrainingJob]:
    """Jobs of which no two end alike; batches of 16, 16 and 8 examples."""
    return [
        TrainingJob(
            **{
                "network": small_network(seed=number),
                "task": random_task(),
                "epochs": 1,
                "batch_size": 16,
                "optimizer": OptimizerOptions(lr=0.01),
                "key": RandomKey((0, "test", number)),
                **changes,
            }
        )
        for number in range(count)
    ]


def _assert_in_order(jobs: Sequence[TrainingJob], results: Sequence[TrainingResult]) -> None:
    """Each result, and each network now, is what the generic engine makes of the job's copy."""
    expected = [train_all([job], "generic")[0] for job in _jobs(len(jobs))]
    assert [result.test_loss for result in results] == pytest.approx(
        [result.test_loss for result in expected], rel=1e-4
    )
    assert len({round(result.test_loss, 3) for result in expected}) == len(jobs)
    for job, result in zip(jobs, results, strict=True):
        again = train(
            job.network, job.task, epochs=1, batch_size=16, optimizer=job.optimizer,
            key=job.key, max_steps=0,
        )  # fmt: skip
        assert again.test_loss == pytest.approx(result.test_loss, rel=1e-4)


@pytest.fixture
def stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if jobs were on a GPU that has passed: ``auto`` trains them together where it can."""
    together = ("auto", "stacked")
    monkeypatch.setattr(engines, "trains_together", lambda device, engine: engine in together)
    monkeypatch.setattr(stacked, "why_untrusted", lambda jobs: "")


def test_auto_trains_jobs_on_a_cpu_one_at_a_time() -> None:
    jobs = _jobs(3)
    results = train_all(jobs)
    assert [result.engine for result in results] == ["fast"] * 3
    _assert_in_order(jobs, results)


@pytest.mark.usefixtures("stacks")
def test_auto_trains_jobs_on_a_gpu_together() -> None:
    jobs = _jobs(3)
    results = train_all(jobs)
    assert [result.engine for result in results] == ["stacked"] * 3
    _assert_in_order(jobs, results)


@pytest.mark.parametrize(
    ("changes", "engine", "reason"),
    [
        ({"intervention": _acting("watch")}, "generic", "an intervention"),
        ({"intervention": make("l2")}, "fast", "an intervention"),
        ({"previous": random_task(seed=1), "gradual": 0.5}, "fast", "a task that fades out"),
        ({"network": small_network()}, "fast", "one network in several jobs"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.usefixtures("stacks")
def test_jobs_that_cannot_be_trained_together(
    changes: dict[str, Any], engine: str, reason: str
) -> None:
    """auto trains them one at a time, stacked is refused before anything is trained."""
    jobs = _jobs(3, **changes)
    before = [copy.deepcopy(job.network.state_dict()) for job in jobs]
    with pytest.raises(OptionError) as refusal:
        train_all(jobs, "stacked")
    assert str(refusal.value) == (
        f"engine=stacked: must be auto or generic here, because of {reason}"
    )
    for job, state in zip(jobs, before, strict=True):
        assert all(torch.equal(t, state[name]) for name, t in job.network.state_dict().items())
    assert [result.engine for result in train_all(jobs)] == [engine] * 3


# ------------------------------------------------------------------ too little memory


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> list[int]:
    """Sizes of the stacks tried; more jobs than the parameter do not fit into memory."""
    tried: list[int] = []
    train_stacked, fitting = stacked.train_stacked, request.param

    def limited(jobs: Sequence[TrainingJob]) -> list[TrainingResult]:
        tried.append(len(jobs))
        if len(jobs) > fitting:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return train_stacked(jobs)

    monkeypatch.setattr(stacked, "train_stacked", limited)
    return tried


@pytest.mark.parametrize("sizes", [2], indirect=True)
@pytest.mark.parametrize("count", [8, 7])
@pytest.mark.usefixtures("stacks")
def test_a_stack_that_does_not_fit_is_halved_until_it_does(sizes: list[int], count: int) -> None:
    jobs = _jobs(count)
    results = train_all(jobs)
    assert sizes[0] == count
    assert sum(size for size in sizes if size <= 2) == count
    assert [result.engine for result in results] == ["stacked"] * count
    _assert_in_order(jobs, results)


@pytest.mark.parametrize("sizes", [0], indirect=True)
@pytest.mark.usefixtures("stacks")
def test_jobs_of_which_no_two_fit_are_trained_one_at_a_time(sizes: list[int]) -> None:
    jobs = _jobs(5)
    results = train_all(jobs)
    assert sizes[0] == 5
    assert [result.engine for result in results] == ["fast"] * 5
    _assert_in_order(jobs, results)


@pytest.mark.parametrize("sizes", [2], indirect=True)
def test_stacking_that_was_asked_for_and_does_not_fit_is_an_error(sizes: list[int]) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        train_all(_jobs(3), "stacked")
    assert sizes == [3]
    assert [result.engine for result in train_all(_jobs(2), "stacked")] == ["stacked"] * 2


@pytest.mark.usefixtures("stacks")
def test_memory_that_runs_out_at_the_very_end_leaves_networks_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Results are copied member by member, and the third finds no room."""
    optimizer_state = Members.optimizer_state

    def limited(members: Members, member: int) -> dict[str, torch.Tensor]:
        if member == 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return optimizer_state(members, member)

    monkeypatch.setattr(Members, "optimizer_state", limited)
    jobs = _jobs(4)
    _assert_in_order(jobs, train_all(jobs))
