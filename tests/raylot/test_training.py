"""Training: the same as a plain PyTorch loop, and pruned weights never move."""

from __future__ import annotations

import copy
from collections.abc import Callable

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import nn
from torch.nn import functional as F

from raylot.config import OptimizerOptions
from raylot.pruning import Masks, prunable_weights
from raylot.randomness import RandomKey
from raylot.training import evaluate, train
from tests.raylot.tasks import random_task, small_network

_KEY = RandomKey((0, "test"))
_OPTIMIZERS = {
    "adam": OptimizerOptions(lr=0.01),
    "adam with weight decay": OptimizerOptions(lr=0.01, weight_decay=0.1),
    "sgd": OptimizerOptions(optimizer="sgd", lr=0.01),
    "sgd with momentum and weight decay": OptimizerOptions(
        optimizer="sgd", lr=0.01, momentum=0.9, weight_decay=0.1
    ),
}


@pytest.mark.parametrize("name", _OPTIMIZERS)
def test_it_trains_as_a_plain_pytorch_loop_does(name: str) -> None:
    options, task = _OPTIMIZERS[name], random_task()
    network = small_network()
    plain = copy.deepcopy(network)
    result = train(network, task, epochs=2, batch_size=16, optimizer=options, key=_KEY)

    stepper: torch.optim.Optimizer
    if options.optimizer == "adam":
        stepper = torch.optim.Adam(
            plain.parameters(), lr=options.lr, weight_decay=options.weight_decay
        )
    else:
        stepper = torch.optim.SGD(
            plain.parameters(),
            lr=options.lr,
            momentum=options.momentum,
            weight_decay=options.weight_decay,
        )
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


def _masks(network: nn.Module, density: float, seed: int) -> Masks:
    # not the seed of the weights themselves, or all negative ones would survive
    generator = torch.Generator().manual_seed(seed + 1_000_000)
    return {
        name: torch.rand(weight.shape, generator=generator) < density
        for name, weight in prunable_weights(network).items()
    }


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().contiguous().view(torch.int32)


@settings(deadline=None, max_examples=60)
@given(
    optimizer=st.sampled_from(list(_OPTIMIZERS)),
    masked=st.sampled_from(["zero", "freeze"]),
    density=st.floats(0, 1),
    seed=st.integers(0, 10_000),
    carried=st.booleans(),
    epochs=st.integers(1, 3),
)
def test_pruned_weights_never_move_by_a_single_bit(
    optimizer: str, masked: str, density: float, seed: int, carried: bool, epochs: int
) -> None:
    """Whatever the optimizer, with weight decay, momentum, and moments carried on from dense
    training: each pruned weight is bit for bit 0, or its value before."""
    task, network = random_task(seed=seed), small_network(seed=seed)
    options = _OPTIMIZERS[optimizer]

    def run(masks: Masks | None, state: dict[str, torch.Tensor] | None) -> dict[str, torch.Tensor]:
        return train(
            network, task, epochs=epochs, batch_size=16, optimizer=options, key=_KEY,
            masks=masks, masked=masked, optimizer_state=state,
        ).optimizer_state  # fmt: skip

    state = run(None, None) if carried else None
    before = {name: w.detach().clone() for name, w in prunable_weights(network).items()}
    masks = _masks(network, density, seed)
    run(masks, state)
    for name, weight in prunable_weights(network).items():
        fixed = torch.zeros_like(weight) if masked == "zero" else before[name]
        pruned = ~masks[name]
        assert torch.equal(_bits(weight)[pruned], _bits(fixed)[pruned])


@pytest.mark.parametrize("masked", ["zero", "freeze"])
def test_pruned_weights_do_not_even_move_when_training_diverges(masked: str) -> None:
    task, network = random_task(), small_network()
    before = {name: w.detach().clone() for name, w in prunable_weights(network).items()}
    masks = _masks(network, 0.5, 0)
    options = OptimizerOptions(optimizer="sgd", lr=100.0, momentum=0.9, weight_decay=100.0)
    result = train(network, task, epochs=50, batch_size=4, optimizer=options, key=_KEY,
                   masks=masks, masked=masked)  # fmt: skip
    assert result.diverged
    assert result.test_accuracy != result.test_accuracy  # NaN
    for name, weight in prunable_weights(network).items():
        fixed = torch.zeros_like(weight) if masked == "zero" else before[name]
        assert torch.equal(_bits(weight)[~masks[name]], _bits(fixed)[~masks[name]])


def test_surviving_weights_do_move() -> None:
    network = small_network()
    before = {name: w.detach().clone() for name, w in prunable_weights(network).items()}
    masks = _masks(network, 0.5, 0)
    train(network, random_task(), epochs=1, batch_size=8, optimizer=OptimizerOptions(), key=_KEY,
          masks=masks)  # fmt: skip
    for name, weight in prunable_weights(network).items():
        assert not torch.equal(weight[masks[name]], before[name][masks[name]])


def test_pruning_changes_the_result() -> None:
    """Masks applied to a copy, and so to nothing, would leave the dense network."""
    task = random_task()
    outputs = []
    for masks in (None, _masks(small_network(), 0.3, 1)):
        network = small_network()
        train(network, task, epochs=1, batch_size=8, optimizer=OptimizerOptions(), key=_KEY,
              masks=masks)  # fmt: skip
        outputs.append(network(task.scale(task.test_inputs)))
    assert not torch.allclose(outputs[0], outputs[1])


def test_a_mask_that_names_no_parameter_is_refused() -> None:
    with pytest.raises(ValueError, match=r"masks: 7\.weight is no trainable parameter"):
        train(
            small_network(), random_task(), epochs=1, batch_size=8, optimizer=OptimizerOptions(),
            key=_KEY, masks={"7.weight": torch.ones(2, dtype=torch.bool)},
        )  # fmt: skip


def test_carrying_the_optimizer_on_equals_never_having_stopped() -> None:
    """Two trainings with the state carried on equal one of both lengths, moments and all."""
    task, options = random_task(), OptimizerOptions(lr=0.01)
    whole, halves = small_network(), small_network()

    once = train(whole, task, epochs=2, batch_size=16, optimizer=options, key=_KEY)
    first = train(halves, task, epochs=1, batch_size=16, optimizer=options, key=_KEY)
    # the second epoch's data order, from the same key
    second = train(
        halves, task, epochs=1, batch_size=16, optimizer=options,
        key=_ShiftedEpochs(_KEY.path), optimizer_state=first.optimizer_state,
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


def test_learning_speed_is_the_mean_height_of_the_learning_curve() -> None:
    task, options = random_task(), OptimizerOptions(lr=0.01)
    network = small_network()
    curve = [evaluate(network, task).accuracy]
    for epochs in (1, 2, 3):
        fresh = small_network()
        train(fresh, task, epochs=epochs, batch_size=8, optimizer=options, key=_KEY)
        curve.append(evaluate(fresh, task).accuracy)
    result = train(network, task, epochs=3, batch_size=8, optimizer=options, key=_KEY,
                   learning_curve=True)  # fmt: skip
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


@pytest.mark.parametrize("make", [small_network, _WithDropout])
def test_the_key_alone_decides_and_nothing_else_is_disturbed(
    make: Callable[[], nn.Module],
) -> None:
    """Also for networks that draw random numbers themselves, whatever the global state is."""
    torch.manual_seed(5)
    start = make()
    trained = []
    for global_seed, key in ((1, _KEY), (2, _KEY), (1, RandomKey((1, "test")))):
        network = copy.deepcopy(start)
        torch.manual_seed(global_seed)
        state = torch.random.get_rng_state()
        train(
            network, random_task(), epochs=2, batch_size=10, optimizer=OptimizerOptions(), key=key
        )
        assert torch.equal(torch.random.get_rng_state(), state)
        trained.append(torch.cat([p.detach().flatten() for p in network.parameters()]))
    assert torch.equal(trained[0], trained[1])
    assert not torch.equal(trained[0], trained[2])


def test_frozen_parameters_stay_and_tensors_remain_the_networks_own() -> None:
    network = small_network()
    first = network.get_parameter("0.weight")
    first.requires_grad_(False)
    value, storages = first.clone(), [p.data_ptr() for p in network.parameters()]
    train(network, random_task(), epochs=1, batch_size=8, optimizer=OptimizerOptions(), key=_KEY)
    assert torch.equal(first, value)
    assert [p.data_ptr() for p in network.parameters()] == storages
    assert all(p.grad is None for p in network.parameters())
