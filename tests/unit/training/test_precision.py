"""Steps in 16 bits: weights stay in float32, and gradients are those of the loss itself."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raylot.config import OptimizerOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.tasks import Task
from raylot.tickets.find import find_tickets
from raylot.training import Intervention, Training, evaluate, job, train
from raylot.training.flat import FlatParameters
from raylot.training.optimizers import build_optimizer
from raylot.training.precision import LossScale
from tests.support.tasks import random_task, small_network
from tests.unit.training.networks import assert_pruned_stay, bits, random_masks, vector, weights_of
from tests.unit.training.optimizers import OPTIMIZERS

_KEY = RandomKey((0, "test"))


class _Types(nn.Module):
    """Notes in which numbers a network computes."""

    def __init__(self) -> None:
        super().__init__()
        self.layers, self.seen = small_network(), set[tuple[bool, torch.dtype]]()

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.layers(inputs)
        self.seen.add((self.training, logits.dtype))
        return logits


class _Penalty(Intervention):
    """Notes the numbers of which its term and the gradient are made."""

    def __init__(self) -> None:
        self.seen: set[torch.dtype] = set()

    def loss_term(self, training: Training) -> Tensor:
        term = (training.flat.vector @ training.flat.vector).sum()
        self.seen |= {term.dtype}
        return term

    def after_gradient(self, training: Training) -> None:
        self.seen |= {training.flat.gradient.dtype}


def _train(network: nn.Module, precision: str = "bfloat16", **changes: Any) -> Any:
    arguments: dict[str, Any] = {
        "task": random_task(), "epochs": 2, "batch_size": 16, "key": _KEY,
        "optimizer": OptimizerOptions(lr=0.01, precision=precision),
    }  # fmt: skip
    return train(network, **{**arguments, **changes})


def test_only_training_steps_compute_in_16_bits() -> None:
    network, penalty = _Types(), _Penalty()
    result = _train(network, intervention=penalty, learning_curve=True)
    assert network.seen == {(True, torch.bfloat16), (False, torch.float32)}
    assert penalty.seen == {torch.float32}
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert all(moment.dtype == torch.float32 for moment in result.optimizer_state.values())
    assert result.test_loss == evaluate(network, random_task()).loss


def test_a_step_is_that_of_pytorchs_autocast() -> None:
    network, task = small_network(), random_task()
    plain = copy.deepcopy(network)
    options = OptimizerOptions(optimizer="sgd", lr=0.1, precision="bfloat16")
    result = _train(network, optimizer=options, epochs=1, gradient_magnitudes=True)
    stepper = torch.optim.SGD(plain.parameters(), lr=0.1)
    losses, sums = 0.0, torch.zeros(8, 6)
    for batch in torch.from_numpy(_KEY.child("epoch", 0).generator().permutation(40)).split(16):
        with torch.autocast("cpu", torch.bfloat16):
            logits = plain(task.train_inputs[batch].float())
        loss = F.cross_entropy(logits.float(), task.train_labels[batch])
        stepper.zero_grad()
        loss.backward()
        sums += plain.get_parameter("0.weight").grad.abs()  # type: ignore[union-attr]
        stepper.step()
        losses += float(loss.detach()) * len(batch)
    torch.testing.assert_close(vector(network), vector(plain))
    assert result.train_loss == pytest.approx(losses / 40)
    torch.testing.assert_close(result.gradient_magnitudes["0.weight"], sums / 3)
    exact = small_network()
    _train(exact, optimizer=options.model_copy(update={"precision": "float32"}), epochs=1)
    assert not torch.equal(vector(exact), vector(network))
    torch.testing.assert_close(vector(exact), vector(network), rtol=0.1, atol=0.01)


def test_float16_is_refused_on_the_cpu() -> None:
    message = "^precision=float16: must be float32 or bfloat16 on the CPU$"
    with pytest.raises(OptionError, match=message):
        _train(small_network(), "float16")
    with pytest.raises(OptionError, match=r"^precision=float16: .* with device=cpu$"):
        find_tickets(small_network(), random_task(), sparsity=0.5, precision="float16",
                     device="cpu")  # fmt: skip


# ------------------------------------------------------------------ scaled losses


def _scaled(network: nn.Module) -> tuple[FlatParameters, LossScale]:
    flat = FlatParameters(network)
    return flat, LossScale(flat, build_optimizer(flat.vector, OptimizerOptions(), None))


def test_the_gradient_is_that_of_the_loss_and_not_of_the_scaled_one() -> None:
    network = small_network()
    flat, scale = _scaled(network)
    inputs, labels = random_task().train_inputs.float(), random_task().train_labels
    with flat:
        flat.differentiate(F.cross_entropy(network(inputs), labels))
        expected = flat.gradient.clone()
        for _ in range(3):
            assert scale.differentiate(F.cross_entropy(network(inputs), labels))
            torch.testing.assert_close(flat.gradient, expected)


def test_gradients_too_small_for_16_bits_are_kept_and_overflow_halves_the_scale() -> None:
    """The gradient of 1e-7 x (sum of weights), passed on in float16, where the smallest is 6e-8."""
    network = nn.Linear(3, 1, bias=False)
    flat, scale = _scaled(network)

    class ThroughHalf(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            return gradient.half().float()

    def loss(factor: float) -> Tensor:
        return factor * ThroughHalf.apply(network.weight).sum()

    with flat:
        flat.differentiate(loss(1e-8))
        assert flat.gradient.tolist() == [0, 0, 0]
        assert scale.differentiate(loss(1e-8))
        torch.testing.assert_close(flat.gradient, torch.full((3,), 1e-8), rtol=1e-2, atol=0)
        # 65536 x 1 overflows; half of it does not.
        assert not scale.differentiate(loss(1.0))
        assert scale.differentiate(loss(1.0))
        assert flat.gradient.tolist() == [1, 1, 1]


# ------------------------------------------------------------------ float16 from end to end


@pytest.fixture
def float16_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU computes in float16 as a GPU does, only slowly."""
    monkeypatch.setattr(job, "check_precision", lambda options, device: None)


_LARGE = dataclasses.replace(random_task(), divisor=1 / 100)


@pytest.mark.usefixtures("float16_on_the_cpu")
def test_steps_that_overflow_are_left_out() -> None:
    """Inputs of 1600 make the first scaled gradients overflow, but not the logits."""
    network, looking = small_network(), _Penalty()
    before = vector(network)
    options = OptimizerOptions(optimizer="sgd", lr=1e-6, precision="float16")
    arguments: dict[str, Any] = {
        "task": _LARGE, "optimizer": options, "intervention": looking, "gradient_magnitudes": True
    }  # fmt: skip
    result = _train(network, max_steps=1, **arguments)
    assert result.steps == 1
    assert math.isfinite(result.train_loss)
    assert torch.equal(bits(vector(network)), bits(before))
    assert not any(m.any() for m in result.gradient_magnitudes.values())
    # Later ones are taken, and means are over these alone.
    exact, half = small_network(), small_network()
    plain = options.model_copy(update={"precision": "float32"})
    expected = _train(exact, epochs=9, **{**arguments, "optimizer": plain})
    found = _train(half, epochs=9, **arguments)
    assert found.steps == expected.steps == 27
    assert not torch.equal(vector(half), before)
    for name, mean in found.gradient_magnitudes.items():
        assert mean.isfinite().all()
        assert 0.5 < mean.sum() / expected.gradient_magnitudes[name].sum() < 2


@pytest.mark.usefixtures("float16_on_the_cpu")
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("masked", ["zero", "freeze"])
@pytest.mark.parametrize("task", [random_task(), _LARGE], ids=["small", "large"])
def test_pruned_weights_stay_in_float16(name: str, masked: str, task: Task) -> None:
    options = OPTIMIZERS[name].model_copy(update={"precision": "float16", "clip_norm": 1.0})
    network = small_network()
    before, masks = weights_of(network), random_masks(network, 0.5)
    _train(network, task=task, optimizer=options, masks=masks, masked=masked)
    assert_pruned_stay(network, before, masks, masked)


_NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def _on_gpu(network: nn.Module, task: Task) -> tuple[nn.Module, Task]:
    device = torch.device("cuda")
    return network.to(device), task.to(device)


@_NEEDS_GPU
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
@pytest.mark.parametrize("masked", ["zero", "freeze"])
def test_a_gpu_trains_in_16_bits_and_moves_no_pruned_weight(
    name: str, precision: str, masked: str
) -> None:
    options = OPTIMIZERS[name].model_copy(update={"precision": precision, "clip_norm": 1.0})
    if (
        options.optimizer == "rmsprop"
    ):  # its first steps are 10 lr each, and float16 leaves some out
        options = options.model_copy(update={"lr": 0.0005})
    masks = {n: mask.cuda() for n, mask in random_masks(small_network(), 0.5).items()}
    network, task = _on_gpu(small_network(), random_task())
    before, again = weights_of(network), copy.deepcopy(network)
    for trained in (network, again):
        result = _train(trained, task=task, optimizer=options, masks=masks, masked=masked,
                        gradient_magnitudes=True)  # fmt: skip
        assert result.engine == "generic"
        assert not result.diverged
        assert all(m.isfinite().all() for m in result.gradient_magnitudes.values())
    assert_pruned_stay(network, before, masks, masked)
    assert torch.equal(bits(vector(network)), bits(vector(again)))
    exact, _ = _on_gpu(small_network(), task)
    plain = options.model_copy(update={"precision": "float32"})
    _train(exact, task=task, optimizer=plain, masks=masks, masked=masked)
    torch.testing.assert_close(vector(exact), vector(network), rtol=0.2, atol=0.05)
