"""ReDo recycles exactly the dormant units, and refuses what it cannot follow."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raylot import networks
from raylot.config import NetworkOptions
from raylot.foundation.errors import OptionError
from raylot.interventions.redo import dormant_by_layer
from raylot.networks.units import hidden_layers
from tests.unit.interventions.trainings import KEY, make, with_batch_norm
from tests.unit.interventions.under_way import under_way


def _recycled(
    network: nn.Module, inputs: Tensor, *, optimizer: str = "adam", step: int = 100, **options: Any
) -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]], float]:
    """The network's state after ReDo, the optimizer's moments per parameter, its step count."""
    network, method = copy.deepcopy(network), make("redo", **options)
    with under_way(network, inputs, method, optimizer) as training:
        training.step = step
        method.after_step(training)
        state = dict(training.optimizer.state[training.flat.vector])
        count = float(state.pop("step", torch.tensor(-1.0)))
        moments = {name: training.flat.unflatten(value) for name, value in state.items()}
        tensors = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    return tensors, moments, count


def _hand_built() -> nn.Sequential:
    """On inputs (1, 1) its first hidden layer is (2, 0, 2, 0.02): one dead, one dormant unit.

    Their mean is 1.005, and 0.02 < 0.025 x 1.005; in the second layer all units are alike.
    """
    network = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3), nn.ReLU(),
                            nn.Linear(3, 2))  # fmt: skip
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1)
        network[0].weight.copy_(torch.tensor([[1.0, 1], [1, 1], [1, 1], [0.01, 0.01]]))
        network[0].bias.copy_(torch.tensor([0.0, -9, 0, 0]))
    return network


_ONES = torch.ones(5, 2)


def _dormant(network: nn.Module, inputs: Tensor, threshold: float) -> dict[str, Tensor]:
    return dormant_by_layer(network, hidden_layers(network), inputs, threshold)


def _all_dead() -> nn.Sequential:
    """In a network that is silent altogether all units are dormant."""
    network = _hand_built()
    for layer in (0, 2):
        nn.init.constant_(network[layer].bias, -99)
    return network


def test_dormant_units_by_hand() -> None:
    found = _dormant(_hand_built(), _ONES, 0.025)
    assert {layer: units.tolist() for layer, units in found.items()} == {
        "0": [False, True, False, True], "2": [False, False, False],
    }  # fmt: skip
    assert _dormant(_hand_built(), _ONES, 0.0)["0"].tolist() == [False, True, False, False]
    assert _dormant(_all_dead(), _ONES, 0.0)["2"].all()


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_redo_recycles_exactly_the_dormant_units(optimizer: str) -> None:
    fresh, _, _ = _recycled(_all_dead(), _ONES)
    after, moments, count = _recycled(_hand_built(), _ONES, optimizer=optimizer)

    expected = {name: tensor.clone() for name, tensor in _hand_built().state_dict().items()}
    unit = torch.tensor([False, True, False, True])
    expected["0.weight"][unit] = fresh["0.weight"][unit]
    assert (fresh["0.weight"].abs() <= 0.5**0.5).all()  # PyTorch's +-1/sqrt(2 inputs)
    assert not torch.isin(fresh["0.weight"], _hand_built().state_dict()["0.weight"]).any()
    expected["0.bias"][unit] = 0
    expected["2.weight"][:, unit] = 0
    for name, tensor in expected.items():
        assert torch.equal(after[name], tensor), name

    reset = {name: torch.zeros_like(t, dtype=torch.bool) for name, t in expected.items()}
    reset["0.weight"][unit] = reset["0.bias"][unit] = True
    reset["2.weight"][:, unit] = True
    assert moments.keys() == ({"exp_avg", "exp_avg_sq"} if count >= 0 else {"momentum_buffer"})
    for values in moments.values():
        for name, moment in values.items():
            assert torch.equal(moment, torch.where(reset[name], 0.0, 5.0)), name
    assert count == (5 if optimizer == "adam" else -1)  # as in the authors' code


def test_a_recycled_unit_feeds_nothing_even_if_what_it_feeds_is_recycled() -> None:
    network = _hand_built()
    nn.init.constant_(network[2].bias, -99)
    after, _, _ = _recycled(network, _ONES)
    assert (after["2.weight"][:, [1, 3]] == 0).all()
    assert (after["2.weight"][:, [0, 2]].abs() <= 0.5).all()  # fresh: +-1/sqrt(4 inputs)
    assert (after["4.weight"] == 0).all()


def test_redo_leaves_all_as_it_is_if_no_unit_is_dormant() -> None:
    network = _hand_built()
    nn.init.ones_(network[0].bias)
    after, moments, count = _recycled(network, _ONES, step=100, redo_threshold=0.0)
    for name, tensor in network.state_dict().items():
        assert torch.equal(after[name], tensor)
    assert count == 5
    assert all(bool((m == 5).all()) for values in moments.values() for m in values.values())


def test_fresh_weights_differ_from_step_to_step() -> None:
    first, _, _ = _recycled(_hand_built(), _ONES)
    same, _, _ = _recycled(_hand_built(), _ONES)
    later, _, _ = _recycled(_hand_built(), _ONES, step=200)
    assert torch.equal(first["0.weight"], same["0.weight"])
    assert not torch.equal(first["0.weight"][1], later["0.weight"][1])


def test_a_channel_feeds_all_its_places_once_flattened() -> None:
    """Two channels of 2 x 2, then 8 inputs, channel by channel."""
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1)
        network[0].bias[1] = -9
    after, _, _ = _recycled(network, torch.ones(3, 1, 2, 2))
    assert torch.equal(after["3.weight"], torch.tensor([1.0, 1, 1, 1, 0, 0, 0, 0]).expand(3, 8))
    assert after["0.weight"].flatten()[0] == 1
    assert after["0.weight"].flatten()[1] != 1
    assert after["0.bias"][0] == 1
    assert after["0.bias"][1] == 0


def test_a_channel_feeds_the_next_convolution() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 2), nn.ReLU(),
                            nn.Flatten(), nn.Linear(2, 2))  # fmt: skip
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1)
        network[0].bias[0] = -9
    after, _, _ = _recycled(network, torch.ones(3, 1, 2, 2))
    assert (after["2.weight"][:, 0] == 0).all()
    assert (after["2.weight"][:, 1] == 1).all()


def test_a_channel_that_its_norm_keeps_silent_starts_anew_with_it() -> None:
    """New incoming weights alone would not help: batch norm cancels their size."""
    network = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.BatchNorm2d(2), nn.ReLU(),
                            nn.Flatten(), nn.Linear(8, 3))  # fmt: skip
    with torch.no_grad():
        network[1].weight.fill_(3)
        network[1].bias.copy_(torch.tensor([4.0, -99]))
        network[1].running_mean.fill_(0.5)
        network[1].running_var.fill_(2)
    after, moments, _ = _recycled(network, torch.ones(3, 1, 2, 2))
    assert after["1.weight"].tolist() == [3, 1]
    assert after["1.bias"].tolist() == [4, 0]
    assert after["1.running_mean"].tolist() == [0.5, 0]
    assert after["1.running_var"].tolist() == [2, 1]
    assert moments["exp_avg"]["1.weight"].tolist() == [5, 0]
    assert moments["exp_avg_sq"]["1.bias"].tolist() == [5, 0]


@pytest.mark.parametrize(
    ("options", "hidden"),
    [
        ({"network": "mlp", "hidden": (6, 5)}, 2),
        ({"network": "lenet"}, 4),
        ({"network": "vgg", "width": 2, "norm": "batch"}, 6),
        ({"network": "vgg", "width": 2, "norm": "layer"}, 6),
        ({"network": "resnet", "width": 2, "norm": "batch"}, 3),  # the first layer of each block
    ],
    ids=str,
)
def test_all_networks_that_the_configuration_builds_can_be_recycled(
    options: dict[str, Any], hidden: int
) -> None:
    """With threshold 1 at least the least active unit of each hidden layer is recycled."""
    network = networks.build(NetworkOptions.checked(**options), (1, 8, 8), 3, KEY)
    inputs = torch.rand(4, 1, 8, 8)
    dormant = _dormant(network, inputs, 1.0)
    after, _, _ = _recycled(network, inputs, redo_threshold=1)
    layers = hidden_layers(network)
    assert len(layers) == hidden
    for layer in layers:
        units = dormant[layer.name]
        assert units.any()
        silent = (layer.outgoing_by_unit(after[layer.outgoing]) == 0).all(dim=3).all(dim=1)
        assert torch.equal(silent.all(dim=0), units), layer.name


class _Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.output = nn.Linear(2, 3), nn.Linear(3, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.output(F.relu(self.hidden(inputs)))  # type: ignore[no-any-return]


class _Doubled(nn.Sequential):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) * 2  # type: ignore[no-any-return]


def _used_twice() -> nn.Module:
    shared = nn.Linear(2, 2)
    return nn.Sequential(shared, nn.ReLU(), shared, nn.ReLU(), nn.Linear(2, 2))


def _frozen(layer: int) -> nn.Module:
    network = _hand_built()
    network[layer].requires_grad_(False)
    return network


def _grouped() -> nn.Module:
    """Each channel of the first convolution feeds one of the second."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 1, 2)), nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1, groups=2),
        nn.ReLU(), nn.Flatten(), nn.Linear(4, 2),
    )  # fmt: skip


def _gated() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 4), nn.GLU(), nn.Linear(2, 2))


@pytest.mark.parametrize(
    "build",
    [_Functional, lambda: _Doubled(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)),
     _used_twice, _gated, _grouped, lambda: _frozen(2)],
)  # fmt: skip
def test_redo_refuses_networks_whose_units_feed_it_knows_not_what(build: Any) -> None:
    with pytest.raises(
        OptionError, match=r"^intervention=redo: must go with a network with a hidden"
    ):
        _recycled(build(), _ONES)


@pytest.mark.parametrize("mode", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
def test_looking_for_dormant_units_leaves_the_network_as_it_is(mode: bool, frozen: bool) -> None:
    network = with_batch_norm().train(mode)
    network.get_submodule("2").train(mode and not frozen)
    modes = [module.training for module in network.modules()]
    before = copy.deepcopy(network.state_dict())
    _dormant(network, torch.rand(4, 6), 0.1)
    assert [module.training for module in network.modules()] == modes
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_dormancy_is_measured_on_examples_of_its_own() -> None:
    """Drawn from the task's training examples, not the step's batch."""
    inputs = torch.cat([torch.ones(20, 2), torch.full((20, 2), 30.0)])
    drawn = []
    for step in (100, 200):
        method, network = make("redo", redo_examples=5), _hand_built()
        with under_way(network, inputs, method) as training:
            training.step, training.inputs = step, torch.zeros(3, 2)
            drawn.append(method._own_examples(training))
    assert [len(examples) for examples in drawn] == [5, 5]
    assert not torch.equal(*drawn)
    with under_way(_hand_built(), inputs, method) as training:
        assert torch.equal(method._own_examples(training), drawn[0])
