"""Training: as a plain PyTorch loop does it, and what all engines for one network share."""

from __future__ import annotations

import copy
import dataclasses
import functools
import re
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn
from torch.nn import functional as F

import raylot
from raylot.config import OptimizerOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.masks.pruning import Masks
from raylot.tasks import Task
from raylot.training import Intervention, Training, TrainingResult, evaluate
from tests.support.tasks import random_task, small_network
from tests.unit.training.networks import (
    assert_pruned_stay,
    bits,
    random_masks,
    weights_of,
    with_batch_norm,
)
from tests.unit.training.optimizers import EXTRAS, FAST, OPTIMIZERS

_KEY = RandomKey((0, "test"))
_ENGINES = ["generic", "fast"]
_ALL = OPTIMIZERS | EXTRAS
train_with = functools.partial(
    raylot.training.train, epochs=1, batch_size=16, optimizer=OptimizerOptions(), key=_KEY
)
train = functools.partial(train_with, engine="generic")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_trains_as_a_plain_pytorch_loop_does(name: str) -> None:
    options, task = OPTIMIZERS[name], random_task()
    network = small_network()
    plain = copy.deepcopy(network)
    result = train(network, task, epochs=2, optimizer=options)

    arguments: dict[str, Any] = {"lr": options.lr, "weight_decay": options.weight_decay}
    if options.optimizer in ("sgd", "rmsprop"):
        arguments["momentum"] = options.momentum
    if options.optimizer == "sgd":
        arguments["nesterov"] = options.nesterov
    classes: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD,
        "rmsprop": torch.optim.RMSprop,
    }  # fmt: skip
    stepper = classes[options.optimizer](plain.parameters(), **arguments)
    losses, correct = [], 0
    for epoch in range(2):
        order = torch.from_numpy(_KEY.child("epoch", epoch).generator().permutation(40))
        for batch in order.split(16):
            logits = plain(task.train_inputs[batch].float())
            loss = F.cross_entropy(logits, task.train_labels[batch])
            losses.append(loss.item() * len(batch))
            correct += int((logits.argmax(1) == task.train_labels[batch]).sum())
            stepper.zero_grad()
            loss.backward()
            stepper.step()

    assert result.steps == 2 * 3  # 40 examples in batches of 16, 16 and 8
    assert result.train_loss == pytest.approx(sum(losses) / 80, rel=1e-5)
    assert result.online_accuracy == correct / 80
    for trained, expected in zip(network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(trained, expected, rtol=1e-5, atol=1e-6)


@settings(deadline=None, max_examples=150)
@given(
    by=st.sampled_from([("generic", name) for name in _ALL] + [("fast", name) for name in FAST]),
    masked=st.sampled_from(["zero", "freeze"]),
    density=st.floats(0, 1),
    seed=st.integers(0, 10_000),
    carried=st.booleans(),
    epochs=st.integers(1, 3),
)
def test_pruned_weights_never_move_by_a_single_bit(
    by: tuple[str, str], masked: str, density: float, seed: int, carried: bool, epochs: int
) -> None:
    """Whatever the optimizer, with weight decay, momentum, clipping, less precision, and moments
    carried on from dense training: each pruned weight is bit for bit 0, or its value before."""
    task, network = random_task(seed=seed), small_network(seed=seed)
    engine, options = by[0], _ALL[by[1]]

    def run(masks: Masks | None, state: dict[str, torch.Tensor] | None) -> dict[str, torch.Tensor]:
        return train_with(
            network, task, epochs=epochs, optimizer=options, masks=masks, masked=masked,
            optimizer_state=state, engine=engine,
        ).optimizer_state  # fmt: skip

    state = run(None, None) if carried else None
    before = weights_of(network)
    masks = random_masks(network, density, seed)
    run(masks, state)
    assert_pruned_stay(network, before, masks, masked)


@pytest.mark.parametrize("name", _ALL)
def test_every_step_sees_frozen_weights_where_they_began(name: str) -> None:
    """Decay and old moments do not move them in between either."""
    network, task = small_network(), random_task()
    state = train(network, task, optimizer=_ALL[name]).optimizer_state
    before, masks = weights_of(network)["0.weight"], random_masks(network, 0.5, 0)
    pruned, seen = ~masks["0.weight"], []

    def look(module: nn.Module, inputs: object) -> None:
        seen.append(network.get_parameter("0.weight").detach()[pruned])

    network.register_forward_pre_hook(look)
    for carried in (None, state):
        train(network, task, optimizer=_ALL[name], optimizer_state=carried, masks=masks,
              masked="freeze")  # fmt: skip
    assert len(seen) == 2 * (3 + 1)
    assert all(torch.equal(bits(weights), bits(before[pruned])) for weights in seen)


@pytest.mark.parametrize("masked", ["zero", "freeze"])
def test_pruned_weights_do_not_even_move_when_training_diverges(masked: str) -> None:
    task, network = random_task(), small_network()
    before = weights_of(network)
    masks = random_masks(network, 0.5, 0)
    options = OptimizerOptions(optimizer="sgd", lr=100.0, momentum=0.9, weight_decay=100.0)
    result = train(
        network, task, epochs=50, batch_size=4, optimizer=options, masks=masks, masked=masked
    )
    assert result.diverged
    assert result.test_accuracy != result.test_accuracy  # NaN
    assert_pruned_stay(network, before, masks, masked)


@pytest.mark.parametrize("engine", _ENGINES)
def test_carrying_the_optimizer_on_equals_never_having_stopped(engine: str) -> None:
    """Two trainings with the state carried on equal one of both lengths, moments and all."""
    task, options = random_task(), OptimizerOptions(lr=0.01)
    whole, halves = small_network(), small_network()

    once = train_with(whole, task, epochs=2, optimizer=options, engine=engine)
    first = train_with(halves, task, optimizer=options, engine=engine)
    # the second epoch's data order, from the same key
    second = train_with(
        halves, task, optimizer=options, key=_ShiftedEpochs(_KEY.path), engine=engine,
        optimizer_state=first.optimizer_state,
    )  # fmt: skip
    for a, b in zip(whole.parameters(), halves.parameters(), strict=True):
        assert torch.equal(a, b)
    for name, tensor in once.optimizer_state.items():
        assert torch.equal(tensor, second.optimizer_state[name])


class _ShiftedEpochs(RandomKey):
    """A key whose epoch 0 is another's epoch 1."""

    def child(self, *parts: int | str) -> RandomKey:
        if parts[0] == "epoch":
            return RandomKey((*self.path, "epoch", int(parts[1]) + 1))
        return super().child(*parts)


@pytest.mark.parametrize("engine", _ENGINES)
def test_learning_speed_is_the_mean_height_of_the_learning_curve(engine: str) -> None:
    task, options = random_task(), OptimizerOptions(lr=0.01)
    network = small_network()
    curve = [evaluate(network, task).accuracy]
    for epochs in (1, 2, 3):
        fresh = small_network()
        train_with(fresh, task, epochs=epochs, batch_size=8, optimizer=options, engine=engine)
        curve.append(evaluate(fresh, task).accuracy)
    result = train_with(
        network, task, epochs=3, batch_size=8, optimizer=options, learning_curve=True, engine=engine
    )
    assert result.learning_speed == pytest.approx(
        (curve[0] / 2 + curve[1] + curve[2] + curve[3] / 2) / 3
    )


def test_evaluation_by_hand() -> None:
    task = random_task(classes=2, pixels=2)
    constant = nn.Linear(2, 2)
    nn.init.zeros_(constant.weight)
    with torch.no_grad():
        constant.bias.copy_(torch.tensor([1.0, 0.0]))
    found = evaluate(constant, task)
    zeros = float((task.test_labels == 0).float().mean())
    assert found.accuracy == pytest.approx(zeros)
    # cross-entropy log(1 + e^-1) where the label is 0, one more where it is 1
    assert found.loss == pytest.approx(0.3132617 + (1 - zeros), rel=1e-5)


class _WithDropout(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5),
                         nn.Linear(16, 3))  # fmt: skip


@pytest.mark.parametrize(
    ("make", "engine"),
    [(small_network, "generic"), (small_network, "fast"), (_WithDropout, "generic")],
)
def test_the_key_alone_decides_and_nothing_else_is_disturbed(
    make: Callable[[], nn.Module], engine: str
) -> None:
    """Also for networks that draw random numbers themselves, whatever the global state is."""
    torch.manual_seed(5)
    start = make()
    trained = []
    for global_seed, key in ((1, _KEY), (2, _KEY), (1, RandomKey((1, "test")))):
        network = copy.deepcopy(start)
        torch.manual_seed(global_seed)
        state = torch.random.get_rng_state()
        train_with(network, random_task(), epochs=2, batch_size=10, key=key, engine=engine)
        assert torch.equal(torch.random.get_rng_state(), state)
        trained.append(torch.cat([p.detach().flatten() for p in network.parameters()]))
    assert torch.equal(trained[0], trained[1])
    assert not torch.equal(trained[0], trained[2])


def test_frozen_parameters_stay_and_tensors_remain_the_networks_own() -> None:
    network = small_network()
    first = network.get_parameter("0.weight")
    first.requires_grad_(False)
    value, storages = first.clone(), [p.data_ptr() for p in network.parameters()]
    train(network, random_task(), batch_size=8)
    assert torch.equal(first, value)
    assert [p.data_ptr() for p in network.parameters()] == storages
    assert all(p.grad is None for p in network.parameters())


# ------------------------------------------------------------------ masks that do not fit


_TRUE = torch.ones(8, 6, dtype=torch.bool)


@pytest.mark.parametrize("engine", _ENGINES)
@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"7.weight": _TRUE}, "masks: 7.weight is no trainable parameter"),
        ({"0.weight": _TRUE.float()}, "masks: 0.weight must be boolean, of shape (8, 6)"),
        ({"0.weight": _TRUE[0]}, "masks: 0.weight must be boolean, of shape (8, 6)"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(masks: Masks, message: str, engine: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        train_with(small_network(), random_task(), masks=masks, engine=engine)


def test_the_learning_curve_begins_with_the_masked_network() -> None:
    """And not with the dense one, whose pruned weights are not yet 0."""
    task, masks = random_task(), random_masks(small_network(), 0.3, 1)
    masked = small_network()
    for name, mask in masks.items():
        masked.get_parameter(name).data[~mask] = 0
    before = evaluate(masked, task).accuracy
    assert before != evaluate(small_network(), task).accuracy
    still = OptimizerOptions(optimizer="sgd", lr=1e-30)
    result = train(
        small_network(), task, batch_size=8, optimizer=still, masks=masks, learning_curve=True
    )
    assert result.learning_speed == result.test_accuracy == before


# ------------------------------------------------------------------ gradual change


class _Recorder(Intervention):
    """Notes where it is called, with which inputs, and the weights after each step."""

    def __init__(self) -> None:
        self.places: list[str] = []
        self.inputs: list[torch.Tensor] = []
        self.weights: list[torch.Tensor] = []

    def on_task_start(self, training: Training) -> None:
        self.places.append(f"start {training.step}")

    def loss_term(self, training: Training) -> None:
        self.places.append(f"loss {training.step}")
        self.inputs.append(training.inputs.clone())

    def after_gradient(self, training: Training) -> None:
        self.places.append(f"gradient {training.step}")

    def after_step(self, training: Training) -> None:
        self.places.append(f"step {training.step}")
        self.weights.append(training.flat.vector.detach().clone())

    def on_task_end(self, training: Training) -> None:
        self.places.append(f"end {training.step}")


def _numbered(examples: int, first: int, label: int, **options: float) -> Task:
    """Example i has the one pixel first + i; all have the same of two labels."""
    inputs = torch.arange(first, first + examples).unsqueeze(1)
    labels = torch.full((examples,), label)
    return Task(inputs, labels, inputs[:4], labels[:4], 2, **options)


def _fade(
    gradual: float, task: Task, previous: Task | None, epochs: int = 2
) -> tuple[torch.Tensor, TrainingResult]:
    """The pixels in the order of use; the network stands still and always says label 0."""
    network = nn.Linear(1, 2)
    nn.init.zeros_(network.weight)
    with torch.no_grad():
        network.bias.copy_(torch.tensor([1.0, 0.0]))
    recorder = _Recorder()
    result = train(
        network, task, epochs=epochs, batch_size=100, intervention=recorder,
        optimizer=OptimizerOptions(optimizer="sgd", lr=1e-30), previous=previous, gradual=gradual,
    )  # fmt: skip
    return torch.cat(recorder.inputs).squeeze(1), result


@pytest.mark.parametrize("gradual", [0.25, 0.5, 1.0])
def test_old_examples_fade_out_linearly(gradual: float) -> None:
    task, previous = _numbered(8000, 0, label=0), _numbered(8000, 10_000, label=1)
    pixels, result = _fade(gradual, task, previous)
    plain, _ = _fade(0, task, previous)
    old = pixels >= 10_000
    assert torch.equal(pixels % 10_000, plain)  # each keeps its place
    fading = int(gradual * 16_000)
    assert not old[fading:].any()
    tenths = old[:fading].view(10, -1).double().mean(dim=1)
    # the tenths' middles; the standard deviation of a share of 400 or more is at most 0.025
    torch.testing.assert_close(tenths, torch.linspace(0.95, 0.05, 10).double(), rtol=0, atol=0.06)
    assert old[0]
    # Their labels come along.
    assert result.online_accuracy == pytest.approx(1 - float(old.double().mean()))


def test_without_a_share_or_an_earlier_task_nothing_fades() -> None:
    task, previous = random_task(), random_task(seed=1)
    vectors = []
    for arguments in ({}, {"previous": previous}, {"gradual": 0.5},
                      {"previous": previous, "gradual": 0.5}):  # fmt: skip
        network = small_network()
        train(network, task, epochs=2, optimizer=OptimizerOptions(lr=0.01), **arguments)  # type: ignore[arg-type]  # fmt: skip
        vectors.append(bits(torch.cat([p.flatten() for p in network.parameters()])))
    assert torch.equal(vectors[0], vectors[1])
    assert torch.equal(vectors[0], vectors[2])
    assert not torch.equal(vectors[0], vectors[3])


def test_an_earlier_task_may_be_of_another_size_type_and_scale() -> None:
    task = _numbered(100, 0, label=0, divisor=10.0)
    previous = _numbered(60, 1000, label=1, offset=500.0, divisor=2.0)
    as_floats = dataclasses.replace(previous, train_inputs=previous.train_inputs + 0.5)
    pixels, _ = _fade(1.0, task, as_floats, epochs=1)
    old = pixels > 100
    assert 30 < old.sum() < 70
    assert pixels[~old].max() < 10
    assert torch.equal(pixels[old], ((pixels[old] * 2 + 499.5).round() + 0.5 - 500) / 2)
    assert pixels[old].min() >= (1000.5 - 500) / 2
    assert pixels[old].max() <= (1059.5 - 500) / 2


# ------------------------------------------------------------------ first steps, gradients, places


@pytest.mark.parametrize("steps", [1, 3, 4, 5])
def test_max_steps_takes_the_first_steps_of_the_longer_training(steps: int) -> None:
    arguments: dict[str, Any] = {
        "epochs": 2, "optimizer": OptimizerOptions(lr=0.01), "previous": random_task(seed=1),
        "gradual": 0.7,
    }  # fmt: skip
    recorder, network = _Recorder(), small_network()
    train(small_network(), random_task(), intervention=recorder, **arguments)
    result = train(network, random_task(), max_steps=steps, **arguments)
    assert result.steps == steps
    vector = torch.cat([p.detach().flatten() for p in network.parameters()])
    assert torch.equal(bits(vector), bits(recorder.weights[steps - 1]))
    assert result.test_loss == evaluate(network, random_task()).loss


@pytest.mark.parametrize(("epochs", "max_steps"), [(2, 6), (2, 7), (2, 1000), (9, 6)])
@pytest.mark.parametrize("engine", _ENGINES)
def test_a_training_of_as_many_steps_is_the_same(epochs: int, max_steps: int, engine: str) -> None:
    """Whether it ends after its epochs, or is cut short; two epochs take six steps."""
    arguments: dict[str, Any] = {"learning_curve": True, "engine": engine}
    whole = train_with(small_network(), random_task(), epochs=2, **arguments)
    capped = train_with(
        small_network(), random_task(), epochs=epochs, max_steps=max_steps, **arguments
    )
    for name in ("steps", "train_loss", "online_accuracy", "test_loss", "learning_speed"):
        assert getattr(capped, name) == getattr(whole, name), name


def test_measured_gradients_are_the_means_before_masking_and_before_the_step() -> None:
    task, network = random_task(), small_network()
    masks = random_masks(network, 0.5, 0)
    loop = copy.deepcopy(network)
    result = train(
        network, task, epochs=2, masks=masks, masked="freeze",
        optimizer=OptimizerOptions(optimizer="sgd", lr=0.1), gradient_magnitudes=True,
        gradient_products=True,
    )  # fmt: skip

    products = {name: torch.zeros_like(p) for name, p in loop.named_parameters()}
    sums = {name: torch.zeros_like(p) for name, p in loop.named_parameters()}
    for epoch in range(2):
        order = torch.from_numpy(_KEY.child("epoch", epoch).generator().permutation(40))
        for batch in order.split(16):
            logits = loop(task.train_inputs[batch].float())
            loss = F.cross_entropy(logits, task.train_labels[batch])
            gradients = torch.autograd.grad(loss, list(loop.parameters()))
            for (name, parameter), gradient in zip(loop.named_parameters(), gradients, strict=True):
                sums[name] += gradient.abs()
                products[name] += gradient * parameter.detach()
                parameter.data -= 0.1 * gradient * masks.get(name, torch.tensor(True))

    assert result.gradient_magnitudes is not None
    assert result.gradient_products is not None
    assert result.gradient_magnitudes.keys() == result.gradient_products.keys() == sums.keys()
    for name, total in sums.items():
        torch.testing.assert_close(result.gradient_magnitudes[name], total / 6)
        torch.testing.assert_close(result.gradient_products[name], products[name] / 6)
        if name in masks:
            assert (result.gradient_magnitudes[name][~masks[name]] > 0).any()


@pytest.mark.parametrize("engine", _ENGINES)
def test_measuring_gradients_changes_nothing_and_is_left_out_unless_asked_for(engine: str) -> None:
    networks = [small_network(), small_network()]
    results = [
        train_with(network, random_task(), gradient_magnitudes=measured, engine=engine)
        for network, measured in zip(networks, (False, True), strict=True)
    ]  # fmt: skip
    assert results[0].gradient_magnitudes is None
    for a, b in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        assert torch.equal(bits(a), bits(b))


@pytest.mark.parametrize("whole_task", [False, True])
def test_an_intervention_is_called_at_its_places_and_only_there(whole_task: bool) -> None:
    recorder, network, plain = _Recorder(), small_network(), small_network()
    arguments: dict[str, Any] = {"batch_size": 20}
    result = train(network, random_task(), intervention=recorder, whole_task=whole_task,
                   learning_curve=True, **arguments)  # fmt: skip
    within = ["loss 0", "gradient 0", "step 1", "loss 1", "gradient 1", "step 2"]
    assert recorder.places == (["start 0", *within, "end 2"] if whole_task else within)
    # One that only looks on changes nothing.
    expected = train(plain, random_task(), learning_curve=True, **arguments)
    assert result.test_loss == expected.test_loss
    assert result.learning_speed == expected.learning_speed
    for a, b in zip(network.parameters(), plain.parameters(), strict=True):
        assert torch.equal(bits(a), bits(b))


class _Meddler(Intervention):
    """Makes weights and gradients 7 wherever it can; notes the weights that each step sees."""

    def __init__(self) -> None:
        self.seen: list[dict[str, torch.Tensor]] = []

    def on_task_start(self, training: Training) -> None:
        training.flat.vector.detach().fill_(7)

    def loss_term(self, training: Training) -> None:
        self.seen.append({n: p.detach().clone() for n, p in training.network.named_parameters()})

    def after_gradient(self, training: Training) -> None:
        training.flat.gradient.fill_(7)

    after_step = on_task_end = on_task_start


@pytest.mark.parametrize("masked", ["zero", "freeze"])
def test_no_place_lets_pruned_weights_go(masked: str) -> None:
    """Not even in between: every step sees them where they belong."""
    network, meddler = small_network(), _Meddler()
    before = weights_of(network)
    masks = random_masks(network, 0.5, 0)
    result = train(
        network, random_task(), epochs=2, batch_size=20, masks=masks, masked=masked,
        intervention=meddler, whole_task=True,
    )  # fmt: skip
    assert len(meddler.seen) == 4
    for weights in (*meddler.seen, network.state_dict()):
        for name, mask in masks.items():
            fixed = torch.zeros_like(mask, dtype=torch.float32)
            fixed = fixed if masked == "zero" else before[name]
            assert torch.equal(bits(weights[name])[~mask], bits(fixed)[~mask])
            assert (weights[name][mask] == 7).all()
    moment = result.optimizer_state["exp_avg"]
    survives = torch.cat([
        masks.get(name, torch.ones_like(p, dtype=torch.bool)).flatten()
        for name, p in network.named_parameters()
    ])  # fmt: skip
    assert torch.equal(moment == 0, ~survives)


class _Pull(Intervention):
    """Adds 3 x the sum of all parameters to the loss, by the network's own parameters or flat."""

    def __init__(self, flat: bool) -> None:
        self._flat = flat

    def loss_term(self, training: Training) -> torch.Tensor:
        if self._flat:
            return 3 * training.flat.vector.sum()
        return 3 * sum((p.sum() for p in training.network.parameters()), start=torch.zeros(()))


@pytest.mark.parametrize("flat", [False, True])
def test_a_loss_terms_gradient_is_added_to_that_of_the_loss(flat: bool) -> None:
    pulled, plain = small_network(), small_network()
    arguments: dict[str, Any] = {
        "batch_size": 40, "optimizer": OptimizerOptions(optimizer="sgd", lr=0.1),
    }  # fmt: skip
    train(pulled, random_task(), intervention=_Pull(flat), **arguments)
    train(plain, random_task(), **arguments)
    for a, b in zip(pulled.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b - 0.1 * 3)


# ------------------------------------------------------------------ what a network keeps


class _Cached(nn.Module):
    """Keeps a tensor from its first forward pass, as rotary embeddings do."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 3)
        self.scale: torch.Tensor | None = None

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if self.scale is None:
            self.scale = inputs.new_full((3,), 2.0)
        outputs: torch.Tensor = self.linear(inputs) * self.scale
        return outputs


def test_a_network_that_was_evaluated_first_trains_as_one_that_was_not() -> None:
    networks = [_Cached(), _Cached()]
    networks[1].load_state_dict(networks[0].state_dict())
    evaluate(networks[0], random_task())
    for network in networks:
        train(network, random_task(), epochs=2, learning_curve=True)
    assert torch.equal(networks[0].linear.weight, networks[1].linear.weight)


# ------------------------------------------------------------------ training and evaluation mode


class _KeepsItsNormFrozen(nn.Sequential):
    """The customary way to freeze a part: its own `train` leaves it out."""

    def train(self, mode: bool = True) -> _KeepsItsNormFrozen:
        super().train(mode)
        self[1].eval()
        return self


@pytest.mark.parametrize("frozen", ["by eval()", "by its own train()", None])
def test_a_frozen_batch_norm_stays_frozen(frozen: str | None) -> None:
    network = with_batch_norm()
    if frozen == "by its own train()":
        network = _KeepsItsNormFrozen(*network)
        network.train()
    elif frozen:
        network[1].eval()
    before = network.get_buffer("1.running_mean").clone()
    modes = [module.training for module in network.modules()]
    train(network, random_task(), epochs=2, learning_curve=True)
    assert torch.equal(network.get_buffer("1.running_mean"), before) == (frozen is not None)
    assert [module.training for module in network.modules()] == modes


def test_a_network_in_evaluation_mode_as_a_whole_is_trained_as_a_whole() -> None:
    """A user may just have evaluated it."""
    evaluated, fresh = with_batch_norm().eval(), with_batch_norm()
    for network in (evaluated, fresh):
        train(network, random_task(), epochs=2)
    for a, b in zip(evaluated.state_dict().values(), fresh.state_dict().values(), strict=True):
        assert torch.equal(a, b)


class _MergesForEvaluation(nn.Linear):
    """Adds 1 to its bias when evaluation begins, and takes it away when training does."""

    def train(self, mode: bool = True) -> _MergesForEvaluation:
        if mode != self.training:
            self.bias.data.add_(-1.0 if mode else 1.0)
        super().train(mode)
        return self


def test_evaluation_ends_with_the_networks_own_train() -> None:
    network = _MergesForEvaluation(6, 3)
    before = network.bias.detach().clone()
    evaluate(network, random_task())
    torch.testing.assert_close(network.bias.detach(), before)


# ------------------------------------------------------------------ the last batch


@pytest.mark.parametrize("engine", _ENGINES)
@pytest.mark.parametrize("gradual", [0.0, 0.5])
def test_drop_last_leaves_out_the_smaller_last_batch(engine: str, gradual: float) -> None:
    """40 examples make 2 batches of 16, and 8 examples are left out, others in each epoch."""
    arguments: dict[str, Any] = {
        "optimizer": OptimizerOptions(lr=0.01), "engine": engine,
        "previous": random_task(seed=1), "gradual": gradual,
    }  # fmt: skip
    dropped, stopped = small_network(), small_network()
    first = train_with(dropped, random_task(), drop_last=True, **arguments)
    assert first.steps == 2
    if not gradual:  # which is a share of fewer steps
        second = train_with(stopped, random_task(), max_steps=2, **arguments)
        assert torch.equal(dropped[0].weight, stopped[0].weight)  # type: ignore[index]
        assert first.train_loss == second.train_loss
    twice = train_with(small_network(), random_task(), epochs=2, drop_last=True, **arguments)
    assert twice.steps == 4


def test_drop_last_uses_each_of_the_other_examples_once_an_epoch() -> None:
    recorder, task = _Recorder(), _numbered(40, 0, label=0)
    network = nn.Linear(1, 2)
    train(network, task, epochs=2, intervention=recorder, drop_last=True)
    assert [len(inputs) for inputs in recorder.inputs] == [16] * 4
    epochs = [set(torch.cat(recorder.inputs[i : i + 2]).flatten().tolist()) for i in (0, 2)]
    assert [len(seen) for seen in epochs] == [32, 32]
    assert epochs[0] != epochs[1]


def test_drop_last_must_leave_a_batch() -> None:
    with pytest.raises(OptionError, match=r"^batch_size=41: must be at most 40, .* drop_last$"):
        train(small_network(), random_task(), batch_size=41, drop_last=True)


class _Noting(nn.Sequential):
    """Notes in each forward pass how cuDNN would compute convolutions."""

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__(*modules)
        self.noted: set[tuple[bool, bool]] = set()

    def forward(self, inputs: Tensor) -> Tensor:
        cudnn = torch.backends.cudnn
        self.noted.add((cudnn.allow_tf32, cudnn.deterministic))
        logits: Tensor = super().forward(inputs)
        return logits


def test_convolutions_are_computed_in_float32_and_alike_each_time() -> None:
    """Else a GPU rounds them to 11 bits, and a stream trained again does not find its rows."""
    before = (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic)
    network = _Noting(*small_network())  # type: ignore[misc]
    raylot.training.train(
        network, random_task(), epochs=1, batch_size=16, optimizer=OptimizerOptions(),
        key=RandomKey((0, "test")), learning_curve=True, engine="generic",
    )  # fmt: skip
    assert network.noted == {(False, True)}
    assert before == (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic)
