"""Networks that cannot be searched for tickets are refused before anything trains, in one line."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from raylot import Task, find_tickets
from raylot.config import OptimizerOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.training import train
from tests.support.tasks import random_task, small_network
from tests.unit.config.refused import refusal
from tests.unit.tickets.searches import find
from tests.unit.training.networks import with_batch_norm


def _changed(change: Callable[[nn.Sequential], object]) -> nn.Sequential:
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    change(network)
    return network


class _Returning(nn.Module):
    def __init__(self, change: Callable[[Tensor], object], *, when: bool | None = None) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 3)
        self.change, self.when = change, when

    def forward(self, inputs: Tensor) -> object:
        outputs = self.linear(inputs)
        return self.change(outputs) if self.when in (None, self.training) else outputs


class _WithALambda(nn.Module):
    """Its copy would compute with the original's weights, and train none."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 3)
        self.function = lambda inputs: self.linear(inputs)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.function(inputs)
        return outputs


class _Carrying(nn.Module):
    """Adds to its outputs those before, with all that they were computed from."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 3)
        self.before: Tensor | float = 0.0

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.linear(inputs).square() + self.before
        self.before = outputs.mean()
        return outputs


class _Growing(nn.Linear):
    """Makes a buffer when it is called first."""

    def __init__(self) -> None:
        super().__init__(6, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        if not hasattr(self, "scale"):
            self.register_buffer("scale", torch.ones(()))
        return super().forward(inputs) * self.scale


class _Transposing(nn.Module):
    """Decodes with the transposed weight of its encoder, which it computes once."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.output = nn.Linear(6, 8), nn.Linear(6, 3)
        self.decoding = self.linear.weight.t()

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.output(nn.functional.linear(self.linear(inputs), self.decoding))
        return outputs


_REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "float64": (
        lambda: small_network().double(),
        "network: 0.weight is float64; trainable parameters must be float32 (network.float() "
        "converts them)",
    ),
    "lazy": (
        lambda: nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.Linear(8, 3)),
        "network: 0.weight has no shape yet; call the network on a batch of inputs first",
    ),
    "meta": (
        lambda: small_network().to("meta"),
        "network: 0.weight is on the device meta, so it has no values",
    ),
    "frozen": (
        lambda: small_network().requires_grad_(False),
        "network: must have trainable parameters",
    ),
    "torch.nn.utils.prune": (
        lambda: _changed(lambda net: prune.l1_unstructured(net[0], "weight", 0.5)),
        "network: module 0 (Linear) is reparametrised by L1Unstructured of torch.nn.utils; remove "
        "that first, with torch.nn.utils.prune.remove",
    ),
    "old weight norm": (
        lambda: _changed(lambda net: nn.utils.weight_norm(net[0])),
        "network: module 0 (Linear) is reparametrised by WeightNorm of torch.nn.utils; remove that "
        "first, with torch.nn.utils.remove_weight_norm",
    ),
    "old spectral norm": (
        lambda: _changed(lambda net: nn.utils.spectral_norm(net[2])),
        "network: module 2 (Linear) is reparametrised by SpectralNorm of torch.nn.utils; remove "
        "that first, with torch.nn.utils.remove_spectral_norm",
    ),
    "hook on a weight": (
        lambda: _changed(lambda net: net[0].weight.register_hook(lambda gradient: gradient * 0)),
        "network: 0.weight has a hook (register_hook), which copies of the network do not have; "
        "remove it, or do its work in a forward or backward hook of a module",
    ),
    "hook on an accumulated gradient": (
        lambda: _changed(
            lambda net: net[0].weight.register_post_accumulate_grad_hook(lambda weight: None)
        ),
        "network: 0.weight has a hook (register_post_accumulate_grad_hook), which training never "
        "calls; remove it",
    ),
    "hook that knows the network": (
        lambda: _changed(
            lambda net: net[1].register_forward_hook(
                lambda module, inputs, outputs: outputs + net[0].bias
            )
        ),
        "network: a copy of it computes with the parameters of the original",
    ),
    "lambda that knows the network": (
        _WithALambda, "network: a copy of it computes with the parameters of the original",
    ),
    "TorchScript": (
        lambda: torch.jit.trace(small_network(), torch.ones(2, 6), check_trace=False),
        "network: a copy of it computes with the parameters of the original; it must be no Torch",
    ),
    "a class": (lambda: nn.Linear, "network=<class 'torch.nn.modules.linear.Linear'>: must be a"),
    "generator kept": (
        lambda: _changed(lambda net: setattr(net, "generator", (i for i in range(3)))),
        "network: must be one that copy.deepcopy can copy, as only copies of it are trained and "
        "measured; TypeError: cannot pickle 'generator' object",
    ),
    "weight kept transposed": (
        _Transposing,
        "network: computes with a tensor that it has computed from its parameters before and kept",
    ),
    "outputs carried on": (
        _Carrying,
        "network: cannot be trained: RuntimeError: Trying to backward through the graph a second",
    ),
    "buffer made late": (_Growing, "network: scale comes into its state dict, or changes its"),
    "tuple": (
        lambda: _Returning(lambda outputs: (outputs, outputs)),
        "network: returns a tuple for 2 examples; it must return logits, floating-point numbers of "
        "shape (examples, classes), here (2, 3)",
    ),
    "dict in evaluation": (
        lambda: _Returning(lambda outputs: {"logits": outputs}, when=False),
        "network: returns a dict for 2 examples",
    ),
    "classes": (
        lambda: _Returning(lambda outputs: outputs.argmax(1)),
        "network: returns int64 of shape (2,) for 2 examples",
    ),
    "too few classes": (
        lambda: small_network(classes=2), "network: returns float32 of shape (2, 2) for 2 examples",
    ),
    "no gradient": (
        lambda: _Returning(lambda outputs: outputs.detach()),
        "network: cannot be trained: RuntimeError: element 0 of tensors does not require grad",
    ),
    "other inputs": (
        lambda: small_network(pixels=7),
        "network: fails on inputs of shape (2, 6), float32: RuntimeError: mat1 and mat2 shapes",
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # PyTorch's, of TorchScript and of old reparametrisations
@pytest.mark.parametrize("name", _REFUSED)
def test_a_network_that_cannot_be_trained_is_refused(name: str) -> None:
    make, message = _REFUSED[name]
    assert refusal(lambda: find(make())).startswith(message)


@pytest.mark.parametrize(
    ("name", "message"),
    [(name, _REFUSED[name][1]) for name in
     ("float64", "lazy", "meta", "frozen", "old weight norm", "hook on an accumulated gradient")],
)  # fmt: skip
@pytest.mark.parametrize("engine", ["auto", "generic"])
@pytest.mark.filterwarnings("ignore:.*weight_norm")
def test_training_alone_refuses_what_it_would_train_wrongly(
    name: str, message: str, engine: str
) -> None:
    with pytest.raises(OptionError) as caught:
        train(
            _REFUSED[name][0](), random_task(), epochs=1, batch_size=8, key=RandomKey((0,)),
            optimizer=OptimizerOptions(), engine=engine,
        )  # fmt: skip
    assert str(caught.value).startswith(message)


class _Watched(nn.Module):
    """Counts calls of what is not in its state dict, and draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.dropout, self.calls = nn.Linear(6, 3), nn.Dropout(0.5), 0

    def forward(self, inputs: Tensor) -> Tensor:
        self.calls += 1
        outputs: Tensor = self.linear(self.dropout(inputs))
        return outputs


def test_the_check_leaves_network_and_random_state_as_they_are() -> None:
    network = _Watched()
    before, state = copy.deepcopy(network.state_dict()), torch.random.get_rng_state()
    find(network)
    assert network.calls == 0
    assert network.training
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_hooks_of_modules_are_called_in_every_training() -> None:
    """Forward and backward hooks are in the copies too, also those that change something."""
    calls: list[str] = []
    network = small_network()
    network[0].register_forward_hook(lambda *given: calls.append("forward"))  # type: ignore[index]
    network[2].register_full_backward_hook(lambda *given: calls.append("backward"))  # type: ignore[index]
    find(network, count=1, rounds=1, epochs=1, batch_size=40, random_masks=0,
         untrained_masks=0)  # fmt: skip
    # Trained densely and once more; each evaluated once, as is the network given. Two steps and an
    # evaluation were tried.
    assert (calls.count("forward"), calls.count("backward")) == (2 + 2 + 1 + 3, 2 + 2)
    network[0].register_forward_hook(lambda module, inputs, outputs: outputs * 0)  # type: ignore[index]
    still = find(
        network, count=1, rounds=1, epochs=1, batch_size=40, random_masks=0, untrained_masks=0
    )
    assert len({row["test_accuracy"] for row in still.rows}) == 1


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_search_does_not_depend_on_the_callers_gradient_mode(mode: Callable[[], Any]) -> None:
    with mode():
        found = find(small_network(), engine="generic")
    assert found.rows == find(small_network(), engine="generic").rows


def test_tensors_of_inference_mode_are_as_good_as_others() -> None:
    """A user may have prepared the data, or evaluated the network, in it."""
    with torch.inference_mode():
        inputs = random_task().train_inputs.float() + 0.0
        task = dataclasses.replace(random_task(), train_inputs=inputs)
        network = _changed(lambda network: None)
    found = find_tickets(network, task, sparsity=0.5, count=1, epochs=1, batch_size=8,
                         engine="generic", device="cpu")  # fmt: skip
    assert found.rows[0]["train_loss"] > 0


class _KeepingItsLatest(nn.Module):
    """Keeps what it has computed last, as one does to look at attention or at features."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 8)
        self.output = nn.Linear(8, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        self.latest = self.linear(inputs).relu()
        self.all_of_it = {"hidden": [self.latest]}
        outputs: Tensor = self.output(self.latest)
        return outputs


@pytest.mark.parametrize("engine", ["auto", "generic"])
def test_a_network_that_keeps_what_it_computed_is_searched_as_if_it_did_not(engine: str) -> None:
    """PyTorch itself does not copy tensors that have a graph."""
    torch.manual_seed(0)
    network = _KeepingItsLatest()
    options: dict[str, Any] = {"rewind_steps": 2, "reinit_tickets": 1, "engine": engine}
    expected = find(network, **options).rows
    network(torch.ones(2, 6))
    kept = network.latest
    assert find(network, **options).rows == expected
    assert network.latest is kept


def test_more_outputs_than_classes_are_accepted() -> None:
    assert len(find(small_network(classes=7)).accuracies) == 3


# ------------------------------------------------------------------ a batch of one example


_NOT_ONE = "the network fails on inputs of shape (1, 6), float32: ValueError: Expected more than 1"


def test_batch_norm_is_not_trained_on_a_last_batch_of_one() -> None:
    """40 examples are 3 batches of 13, and one example is left."""
    message = refusal(lambda: find(with_batch_norm(), batch_size=13))
    assert message.startswith(
        "batch_size=13: must not leave a last batch of 1 example (of 40) without drop_last; "
        + _NOT_ONE
    )
    message = refusal(lambda: find(with_batch_norm(), batch_size=1, drop_last=True))
    assert message.startswith(f"batch_size=1: must be at least 2; {_NOT_ONE}")


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (with_batch_norm, {"batch_size": 13, "drop_last": True}),
        (with_batch_norm, {"batch_size": 19}),  # two are left
        (with_batch_norm, {"batch_size": 40}),
        (lambda: _changed_norm(lambda norm: norm.eval()), {"batch_size": 13}),
        (lambda: nn.Sequential(nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 2, 3), nn.BatchNorm1d(2),
                               nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)), {"batch_size": 13}),
        (small_network, {"batch_size": 13}),
        (small_network, {"batch_size": 1}),
    ],
    ids=["drop_last", "two left", "none left", "frozen", "positions", "no norm", "no norm by one"],
)  # fmt: skip
def test_whatever_can_be_trained_on_is_accepted(
    make: Callable[[], nn.Module], options: dict[str, int]
) -> None:
    found = find(make(), epochs=1, **options)
    assert all(row["train_loss"] > 0 for row in found.rows)


def _changed_norm(change: Callable[[nn.Module], object]) -> nn.Module:
    network = with_batch_norm()
    change(network[1])
    return network


def test_a_squeezed_batch_of_one_is_no_batch_of_logits() -> None:
    message = refusal(lambda: find(_Returning(lambda outputs: outputs.squeeze()), batch_size=13))
    assert message == (
        "batch_size=13: must not leave a last batch of 1 example (of 40) without drop_last; the "
        "network returns float32 of shape (3,) for 1 examples; it must return logits, "
        "floating-point numbers of shape (examples, classes), here (1, 3)"
    )


def test_one_training_example_can_be_enough() -> None:
    task = random_task()
    one = Task(task.train_inputs[:1], task.train_labels[:1], task.test_inputs, task.test_labels, 3)
    result = train(
        small_network(), one, epochs=1, batch_size=8, key=RandomKey((0,)),
        optimizer=OptimizerOptions(),
    )  # fmt: skip
    assert result.steps == 1
