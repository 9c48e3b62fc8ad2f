"""Measuring any network: it stays as it is, every hidden layer counts, and nothing fails a run."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from raylot.config import PlasticityOptions, TrainingOptions
from raylot.foundation.randomness import RandomKey
from raylot.plasticity import FURTHER, measure, recorded_activations
from raylot.plasticity.kernel import pseudo_ntk
from tests.support.tasks import random_task, small_network

_KEY = RandomKey((0,))


def _measured(network: nn.Module, **given: Any) -> tuple[dict[tuple[str, str], float], list[str]]:
    """Values by layer and metric, and why some are NaN."""
    options = PlasticityOptions(probe_size=20, ntk_examples=3, sharpness_iterations=2)
    reasons: list[str] = []
    rows = measure(network, random_task(), options, _KEY, note=reasons.append, **given)
    assert len({(row["layer"], row["metric"]) for row in rows}) == len(rows)
    return {(row["layer"], row["metric"]): row["value"] for row in rows}, reasons


def _further(network: nn.Module) -> tuple[dict[tuple[str, str], float], list[str]]:
    """The same of all further measures."""
    options = PlasticityOptions(
        probe_size=20, ntk_examples=0, sharpness_iterations=0, churn_batches=2,
        sample_plasticity_examples=3, hessian_iterations=3, hessian_starts=2, trace_ntk_examples=3,
    )  # fmt: skip
    reasons: list[str] = []
    rows = measure(
        network, random_task(), options, _KEY, note=reasons.append, built_in=(), measures=FURTHER,
        training=TrainingOptions(batch_size=5),
    )  # fmt: skip
    assert len({(row["layer"], row["metric"]) for row in rows}) == len(rows)
    return {(row["layer"], row["metric"]): row["value"] for row in rows}, reasons


def _layers(network: nn.Module, metric: str = "dead_fraction") -> dict[str, float]:
    found, _ = _measured(network)
    return {layer: value for (layer, name), value in found.items() if name == metric}


# ------------------------------------------------------------------ networks


class _TwoNames(nn.Module):
    """Each layer is an attribute and in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 6), nn.Linear(6, 3)
        self.layers = nn.ModuleList([self.first, self.last])

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(self.first(inputs).relu())


class _Tied(_TwoNames):
    """Two layers share a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.between = nn.Linear(6, 6)
        self.between.weight = self.first.weight

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(self.between(self.first(inputs).relu()).relu())


class _Twice(_TwoNames):
    """One layer computes twice."""

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(self.first(self.first(inputs).relu()).relu())


class _Caching(_TwoNames):
    """Keeps what it computed, and a tensor of its first forward pass."""

    scale: Tensor | None = None
    latest: list[Tensor]

    def forward(self, inputs: Tensor) -> Tensor:
        if self.scale is None:
            self.scale = torch.ones(3, dtype=inputs.dtype)
        self.latest = [self.first(inputs).relu()]
        return self.last(self.latest[0]) * self.scale


class _Counting(_TwoNames):
    """Counts its forward passes, also in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("passes", torch.zeros(()))
        self.register_buffer("hidden", torch.zeros(()), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        self.passes += 1
        self.hidden = self.hidden + 1
        return super().forward(inputs)


class _Failing(_TwoNames):
    """Raises at once, or when it is measured in float64."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def forward(self, inputs: Tensor) -> Tensor:
        if self.at == 0 or (self.at == 1 and inputs.dtype == torch.float64):
            raise ArithmeticError("no\nmore")
        return super().forward(inputs)


def _normalised() -> nn.Module:
    network = nn.Sequential(
        nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(8, 3)
    )
    network[1].eval()  # modes differ within the network
    network[0].bias.requires_grad_(False)
    return network


def _hooked() -> nn.Module:
    network = small_network()
    network[0].register_forward_hook(lambda module, args, output: output * 2)
    return network


def _spectral() -> nn.Module:
    network = small_network()
    parametrizations.spectral_norm(network[0])
    return network


_NETWORKS: list[Callable[[], nn.Module]] = [
    _TwoNames, _Tied, _Twice, _Caching, _Counting, _normalised, _hooked, _spectral,
]  # fmt: skip


# ------------------------------------------------------------------ measuring changes nothing


def _remembered(network: nn.Module) -> dict[str, Any]:
    """All of a network that measuring could change; tensors by identity and by value."""
    kept: dict[str, Any] = {}
    for path, module in network.named_modules(remove_duplicate=False):
        attributes = {k: v for k, v in vars(module).items() if not k.startswith("_")}
        named = [*module._parameters.items(), *module._buffers.items(), *attributes.items()]
        for name, value in named:
            content = (
                (type(value), value.dtype, value.requires_grad, value.grad, value.tolist())
                if isinstance(value, Tensor)
                else value
            )
            kept[f"{path}.{name}"] = (id(value), content)
        kept[f"{path} hooks"] = list(module._forward_hooks), list(module._forward_pre_hooks)
    return kept


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("make", _NETWORKS)
def test_measuring_leaves_a_network_and_the_random_state_alone(
    make: Callable[[], nn.Module], train: bool
) -> None:
    torch.manual_seed(0)
    network = make()
    if train:
        network.train()
        F.cross_entropy(network(torch.rand(9, 6)), torch.arange(9) % 3).backward()
    before, random_state = _remembered(network), torch.get_rng_state()
    with torch.inference_mode():
        _, reasons = _measured(network, initial=dict(network.state_dict()))
    assert not reasons
    assert _remembered(network) == before
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.backends.cuda.flash_sdp_enabled()


@pytest.mark.parametrize("make", _NETWORKS)
def test_the_kernel_leaves_a_network_alone(make: Callable[[], nn.Module]) -> None:
    network = make().eval()
    before = _remembered(network)
    pseudo_ntk(network, torch.rand(3, 6))
    assert _remembered(network) == before


@pytest.mark.parametrize("at", [0, 1])
def test_a_network_is_left_alone_by_a_measuring_that_fails(at: int) -> None:
    network = _Failing(at)
    before, random_state = _remembered(network), torch.get_rng_state()
    if at == 0:
        with pytest.raises(ArithmeticError):
            _measured(network)
    else:
        found, reasons = _measured(network)
        lost = {name for (_, name), value in found.items() if math.isnan(value)}
        assert lost == {"ntk_effective_rank", "ntk_condition_number"}
        assert reasons == [
            "ntk_effective_rank and ntk_condition_number: NaN, as computing it raised "
            "ArithmeticError: no more"
        ]
    assert _remembered(network) == before
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.backends.cuda.flash_sdp_enabled()


def test_a_layer_with_two_names_is_measured_as_with_one() -> None:
    two = _TwoNames()
    one = nn.Sequential(copy.deepcopy(two.first), nn.ReLU(), copy.deepcopy(two.last))
    names = {"0": "first", "2": "last", "all": "all"}
    expected = {(names[layer], name): v for (layer, name), v in _measured(one)[0].items()}
    assert _measured(two)[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_networks_of_other_types_are_measured(dtype: torch.dtype) -> None:
    network = small_network().to(dtype)
    found, reasons = _measured(network)
    expected, _ = _measured(copy.deepcopy(network).float())
    assert not reasons
    assert found == expected
    assert {p.dtype for p in network.parameters()} == {dtype}


# ------------------------------------------------------------------ every hidden layer counts


def _dead_and_alive() -> tuple[nn.Linear, nn.Linear, nn.Linear]:
    """Layers of 6, 6 and 3 units: all of the first are dead behind a ReLU, none of the second."""
    torch.manual_seed(0)
    layers = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
    with torch.no_grad():
        layers[0].bias.fill_(-1e4)
        layers[1].bias.fill_(9)
    return layers


def _chain(*layers: nn.Module) -> nn.Module:
    first, second, last = layers
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last)


def _frozen(*layers: nn.Module) -> nn.Module:
    for layer in layers[:2]:
        layer.requires_grad_(False)
    return _chain(*layers)


def _weight_normed(*layers: nn.Module) -> nn.Module:
    for layer in layers[:2]:
        parametrizations.weight_norm(layer)
    return _chain(*layers)


def _shared_module(*layers: nn.Module) -> nn.Module:
    relu = nn.ReLU()
    return nn.Sequential(layers[0], relu, layers[1], relu, layers[2])


@pytest.mark.parametrize("make", [_chain, _frozen, _weight_normed, _shared_module])
def test_every_hidden_layer_counts_under_a_name_of_its_own(
    make: Callable[..., nn.Module],
) -> None:
    assert _layers(make(*_dead_and_alive())) == {"0": 1, "2": 0, "all": 0.5}


_RELUS: list[Callable[[Tensor], Tensor]] = [
    F.relu, torch.relu, torch.Tensor.relu, lambda x: x.clone().relu_(),
    lambda x: F.relu(input=x), lambda x: F.relu(x.clone(), inplace=True), F.relu6,
]  # fmt: skip


class _Functional(nn.Module):
    def __init__(self, relu: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second, self.last = _dead_and_alive()
        self.relu = relu

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(self.relu(self.second(self.relu(self.first(inputs)))))


@pytest.mark.parametrize("relu", _RELUS)
def test_functions_in_a_forward_are_seen(relu: Callable[[Tensor], Tensor]) -> None:
    with recorded_activations(network := _Functional(relu)) as recorded:
        network(torch.rand(5, 6))
    assert list(recorded) == ["first", "second"]
    assert [layer.active.tolist() for layer in recorded.values()] == [[0] * 6, [1] * 6]


def test_all_of_pytorchs_activation_modules_are_seen_once() -> None:
    """But for softmax and its like, which are no functions of single units."""
    kinds = [
        kind for kind in vars(nn.modules.activation).values()
        if isinstance(kind, type) and issubclass(kind, nn.Module)
        and kind.__module__ == nn.modules.activation.__name__
        and kind is not nn.MultiheadAttention and "Soft" not in kind.__name__[:7] + "."
    ]  # fmt: skip
    softened = [nn.Softplus, nn.Softshrink, nn.Softsign]
    assert len(kinds) > 15
    for kind in (*kinds, *softened):
        activation = kind(0.1, 0.2) if kind is nn.Threshold else kind()
        with recorded_activations(activation) as recorded:
            output = activation.eval()(torch.rand(5, 6))
        (layer,) = recorded.values()
        assert torch.equal(layer.outputs, output), kind


def test_several_in_one_place_are_numbered_in_their_order() -> None:
    """Tanh of 0 and 1, then what is left of it above 0.5; a layer that computes twice."""
    again = nn.Linear(1, 1, bias=False)
    nn.init.ones_(again.weight)
    network = nn.Sequential(nn.ReLU(), again, nn.Tanh(), nn.Threshold(0.8, 0.0), again, nn.ReLU())
    with recorded_activations(network) as recorded:
        network(torch.tensor([[-1.0], [1.0]]))
    tanh = math.tanh(1)
    assert {name: layer.outputs.flatten().tolist() for name, layer in recorded.items()} == {
        "network": [0, 1],
        "1": [0, pytest.approx(tanh)],
        "1#2": [0, 0],
        "1#3": [0, 0],
    }


def test_what_a_network_writes_into_later_is_seen_as_it_was() -> None:
    class Adding(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            hidden = inputs.relu()
            hidden += 5
            return hidden

    with recorded_activations(network := Adding()) as recorded:
        network(torch.tensor([[-1.0, 1.0]]))
    assert recorded["network"].outputs.tolist() == [[0, 1]]


def test_functions_of_parameters_are_no_hidden_layers() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate, self.share = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.zeros(2))

        def forward(self, inputs: Tensor) -> Tensor:
            return inputs @ torch.sigmoid(self.gate) * torch.sigmoid(self.share.clone())

    with recorded_activations(network := Gated()) as recorded:
        network(torch.rand(3, 2))
    assert not recorded


class _Sequence(nn.Module):
    """A transformer layer and a recurrent one over three places of two numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(2, 1, 5, batch_first=True)
        self.recurrent = nn.RNN(2, 4, batch_first=True, nonlinearity="relu")
        self.last = nn.Linear(4, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        states, _ = self.recurrent(self.encoder(inputs.view(-1, 3, 2)))
        return self.last(F.gelu(states[:, -1]))


def test_attention_and_recurrence_are_seen_with_their_units() -> None:
    network = _Sequence().eval()
    with torch.no_grad():
        network.encoder.linear1.bias[:2] = -1e4
        network.recurrent.bias_ih_l0[:3] = -1e4
    with recorded_activations(network) as recorded:
        network(torch.rand(7, 6))
    shapes = {name: tuple(layer.outputs.shape) for name, layer in recorded.items()}
    assert shapes == {
        "encoder.linear1": (21, 5), "recurrent": (21, 4), "recurrent#2": (7, 4),
    }  # fmt: skip
    assert recorded["encoder.linear1"].active[:2].tolist() == [0, 0]
    assert recorded["recurrent"].active[:3].tolist() == [0, 0, 0]
    found, reasons = _measured(network)
    assert not reasons
    assert all(math.isfinite(found["all", name]) for name in ("sharpness", "ntk_effective_rank"))
    assert found["recurrent", "dead_fraction"] >= 0.75


@pytest.mark.parametrize(
    ("make", "units"),
    [(lambda: nn.LSTM(6, 4), 4), (lambda: nn.GRU(6, 4, bidirectional=True), 8),
     (lambda: nn.LSTMCell(6, 4), 4), (lambda: nn.GRUCell(6, 4), 4)],
)  # fmt: skip
def test_recurrent_modules_put_out_hidden_states(make: Callable[[], nn.Module], units: int) -> None:
    with recorded_activations(network := make()) as recorded:
        network(torch.rand(3, 6))
    (layer,) = recorded.values()
    assert layer.outputs.shape == (3, units)
    assert layer.active.shape == (units,)


def test_a_layer_named_like_the_whole_network_is_told_apart() -> None:
    network = nn.Sequential()
    for name, module in (("all", nn.Linear(6, 6)), ("relu", nn.ReLU()), ("last", nn.Linear(6, 3))):
        network.add_module(name, module)
    found, _ = _measured(network)
    assert ("all#1", "weight_norm") in found
    assert found["all", "weight_norm"] == pytest.approx(
        math.hypot(found["all#1", "weight_norm"], found["last", "weight_norm"])
    )


def test_no_hidden_layer_is_said_plainly() -> None:
    found, reasons = _measured(nn.Linear(6, 3))
    assert not {name for _, name in found} & {"dead_fraction", "srank"}
    assert reasons == [
        "metrics of activations: left out, as no activation function of PyTorch's and no "
        "recurrent module computed anything"
    ]


# ------------------------------------------------------------------ no metric fails


class _Rectified(torch.autograd.Function):
    """A ReLU whose gradient has none itself, as that of most attention kernels."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor) -> Tensor:
        ctx.save_for_backward(inputs)
        return inputs.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (inputs,) = ctx.saved_tensors
        return _Gradient.apply(gradient, inputs)


class _Gradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: Tensor, inputs: Tensor) -> Tensor:
        return gradient * (inputs > 0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        raise RuntimeError("derivative not implemented")


class _Once(_Rectified):
    """The same, marked in PyTorch's way; `torch.autograd.grad` takes its derivative for 0."""

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (inputs,) = ctx.saved_tensors
        return gradient * (inputs > 0)


class _WithoutCurvature(_TwoNames):
    def __init__(self, rectified: type[torch.autograd.Function]) -> None:
        super().__init__()
        self.rectified = rectified

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(self.rectified.apply(self.first(inputs)))


@pytest.mark.parametrize(
    ("rectified", "reason"),
    [(_Rectified, "derivative not implemented"),
     (_Once, "a function of the network can be differentiated once only")],
)  # fmt: skip
def test_without_a_second_derivative_sharpness_alone_is_nan_and_says_why(
    rectified: type[torch.autograd.Function], reason: str
) -> None:
    network = _WithoutCurvature(rectified)
    found, reasons = _measured(network)
    assert [where for where, value in found.items() if math.isnan(value)] == [("all", "sharpness")]
    line = f"sharpness: NaN, as computing it raised RuntimeError: {reason}"
    assert line in reasons
    options = PlasticityOptions(probe_size=20, ntk_examples=0, sharpness_iterations=1)
    with pytest.warns(UserWarning, match=line):
        measure(network, random_task(), options, _KEY)


@pytest.mark.parametrize("frozen", [False, True])
def test_sharpness_of_a_transformer_layer_is_that_of_its_hessian(frozen: bool) -> None:
    """Only the last layer trains: its block of the Hessian can be written out."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Unflatten(1, (3, 2)), nn.TransformerEncoderLayer(2, 1, 4, batch_first=True),
        nn.Flatten(), nn.Linear(6, 3, bias=False),
    )  # fmt: skip
    network[1].requires_grad_(not frozen)
    task = random_task()
    options = PlasticityOptions(probe_size=40, ntk_examples=0, sharpness_iterations=300)
    rows = measure(network, task, options, _KEY, note=pytest.fail)
    (found,) = (row["value"] for row in rows if row["metric"] == "sharpness")
    assert math.isfinite(found)
    if frozen:
        features = network.eval()[:3](task.scale(task.train_inputs)).detach()

        def loss(weight: Tensor) -> Tensor:
            return F.cross_entropy(features @ weight.view(3, 6).T, task.train_labels)

        hessian = torch.autograd.functional.hessian(loss, network[3].weight.detach().flatten())
        assert found == pytest.approx(float(torch.linalg.eigvalsh(hessian)[-1]), rel=1e-3)


class _RecurrentOnly(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.RNN(6, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.recurrent(inputs)[0]


def test_a_network_without_weights_to_prune_is_measured_as_far_as_it_can_be() -> None:
    found, reasons = _measured(_RecurrentOnly())
    assert all(math.isfinite(value) for value in found.values())
    assert {"sharpness", "ntk_effective_rank", "dead_fraction"} < {name for _, name in found}
    assert "weight_norm" not in {name for _, name in found}
    assert len(reasons) == 1
    assert reasons[0].startswith("metrics of weights and gradients: left out, as no linear or conv")


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_metrics_of_what_is_not_finite_are_nan_and_say_so(value: float) -> None:
    network, initial = small_network(), small_network().state_dict()
    with torch.no_grad():
        network[0].weight[0, 0] = value
    found, reasons = _measured(network, initial=initial)
    assert found.keys() == _measured(small_network(), initial=initial)[0].keys()
    assert all(math.isnan(value) for value in found.values())
    assert sorted(reasons) == [
        "metrics of activations: NaN, as not all activations are finite",
        "metrics of gradients: NaN, as not all gradients are finite",
        "metrics of weights: NaN, as not all weights are finite",
        "ntk_effective_rank and ntk_condition_number: NaN, as the NTK is not finite",
        "sharpness: NaN, as the curvature of the loss is not finite",
    ]


# ------------------------------------------------------------------ further measures

_NO_UNITS = (
    "metrics of activations: left out, as no activation function of PyTorch's and no recurrent "
    "module computed anything"
)
_NO_WEIGHTS = "metrics of weights and gradients: left out, as no linear or convolution layer trains"


@pytest.mark.parametrize("make", [*_NETWORKS, _Sequence])
def test_further_measures_look_at_any_network_and_leave_it_alone(
    make: Callable[[], nn.Module],
) -> None:
    torch.manual_seed(0)
    network = make()
    before, random_state = _remembered(network), torch.get_rng_state()
    with torch.inference_mode():
        found, reasons = _further(network)
    assert not reasons
    assert _remembered(network) == before
    assert torch.equal(torch.get_rng_state(), random_state)
    expected = {metric for metrics, _ in FURTHER.values() for metric in metrics}
    assert {metric for layer, metric in found if layer == "all"} == expected
    # The kernel of 3 inputs may be singular.
    finite = {where: v for where, v in found.items() if where[1] != "trace_ntk_condition_number"}
    assert all(math.isfinite(value) for value in finite.values())


def test_further_measures_of_what_is_not_finite_are_nan_and_say_so() -> None:
    network = small_network()
    with torch.no_grad():
        network[0].weight[0, 0] = math.nan
    found, reasons = _further(network)
    assert found.keys() == _further(small_network())[0].keys()
    assert all(math.isnan(value) for value in found.values())
    assert sorted(reasons) == [
        "churn: NaN, as not all outputs are finite",
        "hessian_rank_fraction and hessian_mass_fraction and hessian_largest and hessian_smallest: "
        "NaN, as computing it raised ArithmeticError: the curvature of the loss is not finite",
        "metrics of activations: NaN, as not all activations are finite",
        "metrics of gradients: NaN, as not all gradients are finite",
        "metrics of weights: NaN, as not all weights are finite",
        "sample_plasticity: NaN, as not all losses are finite",
        "trace_ntk_effective_rank and trace_ntk_condition_number: NaN, as the NTK is not finite",
    ]


def test_further_measures_leave_out_what_a_network_does_not_have() -> None:
    found, reasons = _further(nn.Linear(6, 3))
    assert not {name for _, name in found} & {"duplicate_fraction", "saturated_fraction"}
    assert reasons == [_NO_UNITS]
    found, reasons = _further(_RecurrentOnly())
    assert "weight_rank_fraction" not in {name for _, name in found}
    assert {"duplicate_fraction", "saturated_fraction", "churn"} < {name for _, name in found}
    assert reasons == [_NO_WEIGHTS]


@pytest.mark.parametrize("rectified", [_Rectified, _Once])
def test_without_a_second_derivative_the_hessians_spectrum_alone_is_nan(
    rectified: type[torch.autograd.Function],
) -> None:
    found, reasons = _further(_WithoutCurvature(rectified))
    lost = {name for (_, name), value in found.items() if math.isnan(value)}
    assert lost == set(FURTHER["hessian"][0])
    assert len(reasons) == 2
    assert "RuntimeError" in reasons[1]
