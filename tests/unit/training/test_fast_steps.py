"""Whatever acts within steps: the fast engine does as the generic engine does, but for rounding."""

from __future__ import annotations

import dataclasses
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn

from raylot import interventions
from raylot.config import OptimizerOptions
from raylot.foundation.errors import OptionError
from raylot.interventions import pgd, shrink_and_perturb, upgd
from raylot.networks.units import HiddenLayer, hidden_layers
from raylot.tasks import Task
from raylot.training import Intervention, Penalty, Training, TrainingJob, fast, train
from raylot.training.fast.steps import Compiled
from raylot.training.flat import FlatParameters
from raylot.training.optimizers import build_optimizer
from raylot.training.passes import Autograd
from tests.support.tasks import random_task, small_network
from tests.unit.interventions.methods import ALL, made
from tests.unit.interventions.trainings import make
from tests.unit.training.agreement import (
    CLOSE,
    KEY,
    TASKS,
    assert_agree,
    compared,
    network_for,
    sparse_task,
    trained,
)
from tests.unit.training.networks import (
    assert_pruned_stay,
    bits,
    mlp,
    random_masks,
    vector,
    weights_of,
)
from tests.unit.training.optimizers import EXTRAS, OPTIMIZERS

_SPARSE, _DENSE = "784 pixels, a tenth of them set", "digits"

#: It needs a norm before each activation, which the fast engine lacks.
_METHODS = [name for name in ALL if name != "weight_projection"]


def _elsewhere(network: nn.Module) -> dict[str, Tensor]:
    """Where a network's life may have begun: not where this training begins."""
    return {name: 0.9 * parameter.detach() for name, parameter in network.named_parameters()}


# ------------------------------------------------------------------ methods


@pytest.mark.parametrize("name", [_SPARSE, _DENSE])
@pytest.mark.parametrize("method", _METHODS)
def test_weights_agree_after_50_steps(method: str, name: str) -> None:
    """Of widths that fill vectors or not; nothing a method draws, or looks at, differs."""
    network = network_for(TASKS[name](), 20, 33)
    assert_agree(
        network, TASKS[name](), intervention=lambda: made(method), initial=_elsewhere(network),
        whole_task=True,
    )  # fmt: skip


@pytest.mark.parametrize("masked", ["zero", "freeze"])
@pytest.mark.parametrize("method", _METHODS)
def test_pruned_weights_stay_and_the_others_agree_in_a_second_task(
    method: str, masked: str
) -> None:
    """It goes on from moments, and a state of the method, of weights that were not pruned yet."""
    task = sparse_task(200, 64, 3, share=0.1 if masked == "zero" else 1.0)
    network = network_for(task, 20, 33)
    options: dict[str, Any] = {
        "initial": _elsewhere(network), "optimizer": OptimizerOptions(weight_decay=0.01),
    }  # fmt: skip
    lived = made(method)
    start, first = trained(
        "generic", network, task, intervention=lived, whole_task=True, max_steps=9, **options
    )
    if method == "plasticity_injection":
        start = network  # the fast engine does not train what this method has prepared
    kept = interventions.state_tensors(method, lived)

    def later() -> Intervention:
        again = made(method)
        if kept:
            interventions.load_state(method, again, kept, torch.device("cpu"))
        return again

    options |= {
        "masks": random_masks(start, 0.3), "masked": masked, "max_steps": 20,
        "optimizer_state": first.optimizer_state, "intervention": later,
    }  # fmt: skip
    assert_agree(start, task, **options)
    after, _ = trained("fast", start, task, whole_task=True, **options)
    assert_pruned_stay(after, weights_of(start), options["masks"], masked)


@pytest.mark.parametrize("method", [name for name in _METHODS if name != "dash"])
def test_methods_agree_on_squared_errors(method: str) -> None:
    task = random_task(200, 21)
    generator = torch.Generator().manual_seed(0)
    targets = torch.randn(len(task.train_labels) + len(task.test_labels), 2, generator=generator)
    train_labels, test_labels = targets.split([len(task.train_labels), len(task.test_labels)])
    task = dataclasses.replace(
        task, train_labels=train_labels, test_labels=test_labels, classes=None, divisor=16.0
    )
    network = mlp(21, 7, 2)
    assert_agree(
        network, task, intervention=lambda: made(method), initial=_elsewhere(network), max_steps=20
    )


@pytest.mark.parametrize("name", [_SPARSE, _DENSE])
@pytest.mark.parametrize("method", [name for name in _METHODS if name != "dash"])
def test_a_method_that_is_left_out_is_missed(
    monkeypatch: pytest.MonkeyPatch, method: str, name: str
) -> None:
    network, right = network_for(TASKS[name](), 20, 33), fast.train
    monkeypatch.setattr(
        fast, "train", lambda job: right(dataclasses.replace(job, intervention=None))
    )
    with pytest.raises(AssertionError):
        _assert_equal_at_once(network, TASKS[name](), method)


_DRAWING = {
    "pgd": pgd, "upgd": upgd, "shrink_and_perturb with noise": shrink_and_perturb,
}  # fmt: skip


@pytest.mark.parametrize("method", _DRAWING)
def test_noise_in_another_order_is_noticed(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    right, order = _DRAWING[method].normal_noise, [False]

    def turned(training: Training, purpose: str) -> Tensor:
        noise = right(training, purpose)
        return noise.flip(0) if order[0] else noise

    monkeypatch.setattr(_DRAWING[method], "normal_noise", turned)
    right_train = fast.train

    def mistaken(job: TrainingJob) -> Any:
        order[0] = True
        return right_train(job)

    monkeypatch.setattr(fast, "train", mistaken)
    with pytest.raises(AssertionError):
        _assert_equal_at_once(network_for(TASKS[_DENSE](), 20), TASKS[_DENSE](), method)


@pytest.mark.parametrize("method", ["wasserstein_init", "spectral", "c_chain"])
def test_a_term_without_its_gradient_is_noticed(
    monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Terms of the flat vector, of the network's parameters, and of its outputs."""
    right = FlatParameters.differentiate

    def mistaken(flat: FlatParameters, loss: Tensor, *, add: bool = False) -> None:
        if not add:
            right(flat, loss)

    monkeypatch.setattr(FlatParameters, "differentiate", mistaken)
    with pytest.raises(AssertionError):
        _assert_equal_at_once(network_for(TASKS[_DENSE](), 20), TASKS[_DENSE](), method)


def _assert_equal_at_once(network: nn.Module, task: Task, method: str) -> None:
    agrees, _ = compared(
        network, task, intervention=lambda: made(method), initial=_elsewhere(network),
        whole_task=True, key=KEY,
    )  # fmt: skip
    assert agrees


@pytest.mark.parametrize("method", _METHODS)
def test_a_stream_that_is_saved_after_each_task_goes_on_bit_for_bit(method: str) -> None:
    task, initial = random_task(), small_network().state_dict()
    ends = []
    for is_saved in (False, True):
        network, state, lived = small_network(), None, made(method)
        for t in range(3):
            if method == "plasticity_injection" and t == 1:
                break  # the fast engine does not train what this method has prepared
            if t and is_saved:
                kept, lived = interventions.state_tensors(method, lived), made(method)
                if kept:
                    interventions.load_state(method, lived, kept, torch.device("cpu"))
            network, result = trained(
                "fast", network, task, intervention=lived, initial=initial, whole_task=True,
                max_steps=5, batch_size=16, optimizer_state=state, key=KEY.child(t),
            )  # fmt: skip
            state = result.optimizer_state
        ends.append(vector(network))
    assert torch.equal(bits(ends[0]), bits(ends[1]))


class _LooksOn(Intervention):
    """Notes what there is to see at each place of each step."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def observed_layers(self, network: nn.Module) -> list[HiddenLayer]:
        self._layers = hidden_layers(network)
        assert len(self._layers) == 2
        return self._layers

    def loss_term(self, training: Training) -> Tensor | None:
        self.seen += [training.loss.clone(), training.inputs.flatten()]
        return training.network(training.inputs[:9]).square().mean() if training.step % 2 else None

    def after_gradient(self, training: Training) -> None:
        self.seen.append(training.flat.gradient.clone())
        slopes = [p.grad for p in training.network.parameters() if p.grad is not None]
        assert torch.equal(torch.cat([slope.flatten() for slope in slopes]), self.seen[-1])

    def after_step(self, training: Training) -> None:
        self.seen += [training.flat.vector.detach().clone(), torch.rand(2)]
        self.seen += [training.given[layer.name] for layer in self._layers]


@pytest.mark.parametrize("name", [_SPARSE, _DENSE])
def test_a_method_sees_the_same(name: str) -> None:
    """The last of 45 batches is a smaller one."""
    seen = []
    for engine in ("generic", "fast"):
        method = _LooksOn()
        task = TASKS[name]()
        trained(engine, network_for(task, 20, 33), task, intervention=method, max_steps=46)
        seen.append(method.seen)
    for found, expected in zip(seen[1], seen[0], strict=True):
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
        assert (found - expected).norm() <= 1e-3 * expected.norm()


class _Hooking(Intervention):
    """Halves what the hidden units put out, from the start of a task on."""

    def on_task_start(self, training: Training) -> None:
        training.network.get_submodule("1").register_forward_hook(lambda *given: given[2] / 2)


def test_a_network_that_a_method_has_just_changed_is_trained_as_it_is() -> None:
    ends = []
    for engine in ("auto", "generic"):
        network = small_network()
        result = train(
            network, random_task(), epochs=1, batch_size=16, optimizer=OptimizerOptions(), key=KEY,
            intervention=_Hooking(), whole_task=True, engine=engine,
        )  # fmt: skip
        assert result.engine == "generic"
        ends.append(vector(network))
    assert torch.equal(bits(ends[0]), bits(ends[1]))


# ------------------------------------------------------------------ now and then


class _Pausing(Intervention):
    """Notes when it acts, and moves nothing."""

    acts_every = 33

    def __init__(self) -> None:
        self.steps: list[int] = []

    def after_step(self, training: Training) -> None:
        self.steps.append(training.step)
        torch.rand(1)


@pytest.mark.parametrize("density", [1.0, 0.8, 0.2])
@pytest.mark.parametrize("name", [_SPARSE, _DENSE])
def test_a_pause_changes_no_bit(name: str, density: float) -> None:
    """Epochs have 13 or 45 steps, and 45 more begin in the midst of them."""
    task, method = TASKS[name](), _Pausing()
    network = network_for(task, 20, 33)
    options: dict[str, Any] = {
        "masks": None if density == 1 else random_masks(network, density), "max_steps": 100,
    }  # fmt: skip
    whole, _ = trained("fast", network, task, **options)
    parts, result = trained("fast", network, task, intervention=method, **options)
    assert method.steps == [33, 66, 99]
    assert result.steps == 100
    assert torch.equal(bits(vector(whole)), bits(vector(parts)))


class _Easing(Penalty):
    """Draws less to 0, or even away from it, from its third step of 40 on."""

    acts_every = 40
    strength = 0.01

    def __init__(self, factor: float) -> None:
        self._factor = factor

    def after_step(self, training: Training) -> None:
        if training.step == 120:
            self.strength *= self._factor


@pytest.mark.parametrize("factor", [0.1, -0.5])
def test_a_strength_that_changes_is_that_of_the_steps_that_follow(factor: float) -> None:
    task = TASKS[_DENSE]()
    network = network_for(task, 20, 33)
    eased, plain = (
        {
            engine: vector(
                trained(engine, network, task, intervention=_Easing(by), max_steps=150)[0]
            ).norm()
            for engine in ("generic", "fast")
        }
        for by in (factor, 1.0)
    )
    assert eased["fast"] == pytest.approx(float(eased["generic"]), rel=1e-3)
    assert abs(eased["generic"] - plain["generic"]) > 0.01 * plain["generic"]


def test_a_penalty_has_one_of_three_functions() -> None:
    with pytest.raises(TypeError, match="Cubic: function must be square, absolute or huber, not"):
        type("Cubic", (Penalty,), {"function": "cubic"})


@pytest.mark.parametrize("every", [5, 50])
@pytest.mark.parametrize("engine", ["generic", "fast"])
def test_a_method_is_called_after_every_so_many_steps_alone(engine: str, every: int) -> None:
    method, task = _Pausing(), TASKS[_DENSE]()
    method.acts_every = every  # type: ignore[misc]
    trained(engine, network_for(task, 20), task, intervention=method, max_steps=101)
    assert method.steps == list(range(every, 101, every))


@pytest.mark.parametrize("every", [0, 2.0, True])
def test_an_interval_is_a_whole_number(every: Any) -> None:
    method, task = _Pausing(), TASKS[_DENSE]()
    method.acts_every = every  # type: ignore[misc]
    with pytest.raises(OptionError, match=f"acts_every={every}: of _Pausing; must be a whole"):
        trained("generic", network_for(task, 20), task, intervention=method, max_steps=1)


@pytest.mark.parametrize("name", [_SPARSE, _DENSE, "784 pixels, 1 in 1000 set"])
def test_units_are_recycled_between_compiled_steps(name: str) -> None:
    task = TASKS[name]()
    network = network_for(task, 20, 33)
    for density, masked in ((1.0, "zero"), (0.3, "freeze")):
        masks = None if density == 1 else random_masks(network, density)
        assert_agree(
            network, task, masks=masks, masked=masked, max_steps=110, epochs=9, learning_curve=True,
            intervention=lambda: make("redo", redo_threshold=0.6, redo_interval=40),
        )  # fmt: skip


# ------------------------------------------------------------------ optimizers, and their options


_STEPS = {
    name: options.model_copy(update={"lr": 0.001})  # rmsprop's first steps are long
    for name, options in (OPTIMIZERS | EXTRAS).items()
    if options.precision == "float32" and (options.extras or options.optimizer == "rmsprop")
} | {"smoothed labels": OptimizerOptions(label_smoothing=0.3)}


@pytest.mark.parametrize("name", [_SPARSE, _DENSE])
@pytest.mark.parametrize("optimizer", _STEPS)
def test_steps_of_any_shape_agree(optimizer: str, name: str) -> None:
    network = network_for(TASKS[name](), 20, 33)
    masks = random_masks(network, 0.5)
    assert_agree(
        network, TASKS[name](), optimizer=_STEPS[optimizer], masks=masks, masked="freeze",
        gradient_magnitudes=True, learning_curve=True, max_steps=None, epochs=1,
    )  # fmt: skip


def test_heads_that_grow_agree() -> None:
    """Outputs of classes that have not been shown are not trained."""
    task = dataclasses.replace(random_task(200), classes=5, shown=3)
    network = mlp(6, 20, 5)
    for smoothing in (0.0, 0.2):
        options = OptimizerOptions(label_smoothing=smoothing)
        assert_agree(network, task, optimizer=options, learning_curve=True)
    after, _ = trained("fast", network, task)
    for name in ("output.weight", "output.bias"):
        assert torch.equal(after.get_parameter(name)[3:], network.get_parameter(name)[3:])


def test_gradients_times_weights_agree() -> None:
    task = TASKS[_DENSE]()
    found = [
        trained(engine, network_for(task, 20), task, gradient_products=True)[1].gradient_products
        for engine in ("generic", "fast")
    ]
    assert found[0] is not None
    assert found[1] is not None
    for name, mean in found[0].items():
        assert (found[1][name] - mean).norm() <= 1e-3 * mean.norm()


# ------------------------------------------------------------------ gradients themselves


@settings(deadline=None, max_examples=60)
@given(
    pixels=st.integers(1, 40),
    hidden=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    batch=st.integers(1, 40),
    share=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    smoothing=st.sampled_from([0.0, 0.3]),
    shown=st.sampled_from([None, 3]),
    seed=st.integers(0, 1000),
)
def test_gradients_are_those_of_autograd(
    pixels: int, hidden: list[int], batch: int, share: float, smoothing: float, shown: int | None,
    seed: int,
) -> None:  # fmt: skip
    """Walked pixel by pixel or not, whatever the batch before has left behind."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.rand(2 * batch, pixels, generator=generator)
    inputs *= torch.rand(inputs.shape, generator=generator) < share
    labels = torch.randint(3, (2 * batch,), generator=generator)
    task = Task(inputs, labels, inputs, labels, 5, shown=shown)
    network = mlp(pixels, *hidden, 5, seed=seed)
    options = OptimizerOptions(label_smoothing=smoothing)
    job = TrainingJob(network, task, 1, batch, options, KEY)
    found: dict[type, list[Tensor]] = {}
    for kind in (Autograd, Compiled):
        with FlatParameters(network) as flat:
            passes = kind(job, flat, build_optimizer(flat.vector, options, None))
            found[kind] = []
            for part in (slice(0, batch), slice(batch, 2 * batch - batch // 3)):
                loss = passes.forward(inputs[part], labels[part])
                assert passes.backward(None)
                found[kind] += [loss, flat.gradient.clone()]
    for compiled, expected in zip(found[Compiled], found[Autograd], strict=True):
        assert (compiled - expected).norm() <= CLOSE * expected.norm()
