"""Measuring networks that users bring: it leaves them alone, misses no layer, and never fails."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from raylot.config import PlasticityOptions
from raylot.data import Task
from raylot.plasticity import empirical_ntk, measure, recorded_activations
from raylot.randomness import RandomKey
from raylot.training import train

_KEY = RandomKey((0,))


def _task() -> Task:
    inputs = torch.rand(60, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(60) % 3
    return Task(inputs, labels, inputs, labels, 3)


def _measured(network: nn.Module, **options: Any) -> tuple[dict[tuple[str, str], float], list[str]]:
    told: list[str] = []
    settings = {"probe_size": 20, "ntk_examples": 4, "sharpness_iterations": 2, **options}
    rows = measure(network, _task(), PlasticityOptions(**settings), _KEY, tell=told.append)
    assert len({(row["layer"], row["metric"]) for row in rows}) == len(rows)
    return {(row["layer"], row["metric"]): row["value"] for row in rows}, told


class _TwoNames(nn.Module):
    """Each layer is an attribute and in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 6), nn.Linear(6, 3)
        self.layers = nn.ModuleList([self.first, self.last])

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.last(self.first(inputs).relu())
        return logits


class _Twice(nn.Module):
    """One layer and one ReLU module are used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.same, self.out, self.relu = nn.Linear(8, 8), nn.Linear(8, 3), nn.ReLU()

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.out(self.relu(self.same(self.relu(self.same(inputs)))))
        return logits


class _Tied(nn.Module):
    """Two layers share one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.out = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.two.weight = self.one.weight

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.out(self.two(self.one(inputs).tanh()).tanh())
        return logits


class _Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.out = nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs, _ = self.lstm(inputs.view(-1, 2, 4))
        logits: Tensor = self.out(F.relu(outputs)[:, -1])
        return logits


def _transformer() -> nn.Module:
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    return nn.Sequential(nn.Unflatten(1, (2, 4)), layer, nn.Flatten(), nn.Linear(8, 3))


def _normed() -> nn.Module:
    first = parametrizations.weight_norm(nn.Linear(8, 6))
    return nn.Sequential(first, nn.BatchNorm1d(6), nn.ReLU(inplace=True), nn.Linear(6, 3))


_NETWORKS = [_TwoNames, _Twice, _Tied, _Recurrent, _transformer, _normed]


@pytest.mark.parametrize("make", _NETWORKS)
def test_measuring_changes_nothing_and_training_goes_on(make: Any) -> None:
    torch.manual_seed(0)
    network = make().train()
    names = [name for name, _ in network.named_parameters(remove_duplicate=False)]
    tensors = [id(p) for _, p in network.named_parameters(remove_duplicate=False)]
    before = copy.deepcopy(network.state_dict())
    _measured(network)
    after = list(network.named_parameters(remove_duplicate=False))
    assert [name for name, _ in after] == names
    assert [id(p) for _, p in after] == tensors
    assert all(type(p) is nn.Parameter and p.dtype == torch.float32 for _, p in after)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(module.training for module in network.modules())
    options = PlasticityOptions(probe_size=20)
    assert measure(network, _task(), options, _KEY, tell=lambda line: None) == measure(
        network, _task(), options, _KEY, tell=lambda line: None
    )


def test_a_network_with_two_names_per_layer_trains_after_it_was_measured() -> None:
    from raylot.config import OptimizerOptions

    network = _TwoNames()
    _measured(network)
    result = train(
        network, _task(), epochs=1, batch_size=20, optimizer=OptimizerOptions(), key=_KEY,
    )  # fmt: skip
    assert result.steps == 3


def test_the_kernel_of_a_tied_weight_counts_both_uses_by_hand() -> None:
    """f(x) = w (w x) has the gradient 2 w x: with w = 3, K = (6 x)(6 x')."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Linear(1, 1, bias=False)
            self.also = self.w

        def forward(self, inputs: Tensor) -> Tensor:
            logits: Tensor = self.also(self.w(inputs))
            return logits

    network = Twice()
    nn.init.constant_(network.w.weight, 3.0)
    kernel = empirical_ntk(network, torch.tensor([[1.0], [2.0]]))
    assert kernel.tolist() == [[36.0, 72.0], [72.0, 144.0]]
    assert network.also is network.w


def _half_dead(first: nn.Module, second: nn.Module) -> nn.Module:
    """The first hidden layer is dead, the second alive."""
    with torch.no_grad():
        first.get_parameter("bias")[:] = -9
        second.get_parameter("bias")[:] = 9
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Linear(8, 3))


def _frozen() -> nn.Module:
    network = _half_dead(nn.Linear(8, 8), nn.Linear(8, 8))
    network[0].requires_grad_(False)
    network[2].requires_grad_(False)
    return network


def _parametrised() -> nn.Module:
    layers = [parametrizations.weight_norm(nn.Linear(8, 8)) for _ in range(2)]
    return _half_dead(*layers)


def _shared_activation() -> nn.Module:
    network = _half_dead(nn.Linear(8, 8), nn.Linear(8, 8))
    network[3] = network[1]
    return network


@pytest.mark.parametrize("make", [_frozen, _parametrised, _shared_activation])
def test_every_hidden_layer_counts_whatever_holds_it(make: Any) -> None:
    found, _ = _measured(make(), ntk_examples=0, sharpness_iterations=0)
    dead = {layer: value for (layer, metric), value in found.items() if metric == "dead_fraction"}
    assert dead == {"0": 1.0, "2": 0.0, "all": 0.5}


def test_a_layer_that_is_used_twice_has_a_name_for_each_use() -> None:
    network, inputs = _Twice(), torch.rand(5, 8)
    with recorded_activations(network) as recorded:
        network(inputs)
    assert list(recorded) == ["same", "same#2"]
    first = F.relu(network.same(inputs))
    assert torch.equal(recorded["same"].outputs, first)
    assert torch.equal(recorded["same#2"].outputs, F.relu(network.same(first)))


@pytest.mark.parametrize(
    "function",
    [F.relu, torch.relu, Tensor.relu, Tensor.relu_, lambda x: F.relu(x, inplace=True), nn.ReLU()],
)
def test_a_function_in_a_forward_is_seen_as_a_module_is(function: Any) -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden, self.out = nn.Linear(2, 2, bias=False), nn.Linear(2, 3)
            self.activation = function

        def forward(self, inputs: Tensor) -> Tensor:
            logits: Tensor = self.out(self.activation(self.hidden(inputs)))
            return logits

    network = Network()
    with torch.no_grad():
        network.hidden.weight[:] = torch.tensor([[1.0, 0.0], [0.0, -1.0]])
    with recorded_activations(network) as recorded:
        network(torch.tensor([[1.0, 1.0], [-1.0, 2.0]]))
    assert list(recorded) == ["hidden"]
    assert recorded["hidden"].outputs.tolist() == [[1.0, 0.0], [0.0, 0.0]]
    assert recorded["hidden"].active.tolist() == [0.5, 0.0]


def test_an_activation_inside_another_module_is_counted_once() -> None:
    with recorded_activations(network := nn.Sequential(nn.Linear(8, 4), nn.ReLU6())) as recorded:
        network(torch.rand(5, 8))
    assert list(recorded) == ["0"]


def test_units_of_a_sequence_are_its_features() -> None:
    """Two positions of three features: six observations of... three units, not of two."""
    network = nn.Sequential(nn.Unflatten(1, (2, 4)), nn.Linear(4, 3), nn.ReLU(), nn.Flatten())
    with recorded_activations(network) as recorded:
        network(torch.rand(5, 8))
    assert recorded["1"].outputs.shape == (10, 3)


def test_attention_and_recurrent_layers_are_seen() -> None:
    found, told = _measured(_transformer())
    layers = {layer for layer, metric in found if metric == "dead_fraction"}
    assert layers == {"1.linear1", "all"}
    assert told == []
    assert math.isfinite(found["all", "sharpness"])
    found, told = _measured(_Recurrent())
    assert {layer for layer, metric in found if metric == "dead_fraction"} == {"lstm", "all"}
    assert told == []


def test_a_network_without_a_visible_activation_says_so() -> None:
    _, told = _measured(nn.Linear(8, 3))
    (line,) = told
    assert line.startswith("no activation function was seen in the network")


class _FirstOrder(torch.autograd.Function):
    """The identity, without a second derivative."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor) -> Tensor:
        return inputs.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            raise RuntimeError("no second derivative")
        return gradient


class _NoHessian(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = _FirstOrder.apply(inputs)
        return found


class _Float32Only(nn.Module):
    """Refuses other numbers, as a kernel compiled for one type does."""

    def forward(self, inputs: Tensor) -> Tensor:
        if inputs.dtype != torch.float32:
            raise TypeError("float32 only")
        return inputs


@pytest.mark.parametrize(
    ("module", "metrics", "reason"),
    [
        (_NoHessian(), {"sharpness"}, "sharpness was not measured (RuntimeError: no second"),
        (
            _Float32Only(),
            {"ntk_effective_rank", "ntk_condition_number"},
            "ntk_effective_rank was not measured (TypeError: float32 only)",
        ),
    ],
)
def test_a_metric_that_cannot_be_computed_is_nan_alone_and_says_why(
    module: nn.Module, metrics: set[str], reason: str
) -> None:
    network = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), module, nn.Linear(6, 3))
    found, told = _measured(network)
    assert {metric for (_, metric), value in found.items() if math.isnan(value)} == metrics
    assert len(told) == len(metrics)
    assert told[0].startswith(reason)


def test_without_a_listener_it_is_a_warning() -> None:
    network = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), _NoHessian(), nn.Linear(6, 3))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        measure(network, _task(), PlasticityOptions(probe_size=20), _KEY)
    assert [str(w.message)[:26] for w in caught] == ["sharpness was not measured"]
