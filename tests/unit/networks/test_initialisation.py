"""Fresh initial weights: those of a newly built network, and the key alone decides them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from raylot import networks
from raylot.config import NetworkOptions, StreamRun
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.networks.initialisation import (
    INITIALISATIONS,
    initialise,
    reinitialised,
    why_not_reinitialised,
)
from tests.support.tasks import small_network

_KEY = RandomKey((3, "fresh"))


@pytest.mark.parametrize(
    "options",
    [
        {"network": "mlp", "hidden": (5, 4)},
        {"network": "lenet"},
        {"network": "vgg", "width": 2, "norm": "batch"},
        {"network": "resnet", "width": 2, "norm": "layer"},
    ],
    ids=lambda options: options["network"],
)
def test_weights_and_buffers_are_those_of_a_network_built_with_the_same_key(
    options: dict[str, Any],
) -> None:
    chosen, shape = NetworkOptions.checked(**options), (1, 8, 8)
    network = networks.build(chosen, shape, 10, RandomKey((0, "other")))
    network(torch.rand(4, *shape))  # moves the statistics of batch norm
    built = networks.build(chosen, shape, 10, _KEY).state_dict()
    for known in (network, _of_unknown_origin(network)):  # built again; its modules reset
        fresh = reinitialised(known, _KEY).state_dict()
        assert fresh.keys() == built.keys()
        for name, tensor in built.items():
            assert torch.equal(fresh[name], tensor), name


@pytest.mark.parametrize("network", ["mlp", "vgg", "resnet20", "vit"])
@pytest.mark.parametrize("initialisation", INITIALISATIONS)
def test_weights_are_drawn_as_the_option_says(network: str, initialisation: str) -> None:
    """Bounds, spreads and products that follow from the fans of each layer; biases are 0."""
    options = NetworkOptions.checked(
        network=network, initialisation=initialisation, hidden=(300, 200), norm="none"
    )
    made = networks.build(options, (3, 8, 8), 10, _KEY)
    plain = networks.build(
        options.model_copy(update={"initialisation": "pytorch"}), (3, 8, 8), 10, _KEY
    )
    layers = [module for module in made.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    for layer in layers:
        weight = layer.weight.detach().flatten(1)
        receptive = layer.weight[0, 0].numel()
        fan_in, fan_out = weight.shape[1], len(weight) * receptive
        fans = fan_in if "kaiming" in initialisation else (fan_in + fan_out) / 2
        std = math.sqrt((2 if "kaiming" in initialisation else 1) / fans)
        if initialisation == "orthogonal":
            rows = weight if len(weight) <= fan_in else weight.T
            assert torch.allclose(rows @ rows.T, torch.eye(len(rows)), atol=1e-5)
            continue
        if initialisation == "signed_constant":
            assert weight.abs().unique().tolist() == [pytest.approx(math.sqrt(2 / fan_in))]
            assert abs(weight.sign().mean()) < 5 / math.sqrt(weight.numel())
            continue
        if "uniform" in initialisation:
            assert weight.abs().max() <= math.sqrt(3) * std
        # The spread of n draws is within 5 standard errors of what it should be.
        assert weight.std().item() == pytest.approx(std, rel=5 / math.sqrt(weight.numel()))
    assert all(not layer.bias.any() for layer in layers if layer.bias is not None)
    own = {id(p) for layer in layers for p in layer.parameters()}
    for (name, p), q in zip(made.named_parameters(), plain.parameters(), strict=True):
        assert torch.equal(p, q) is (id(p) not in own), name


@pytest.mark.parametrize("initialisation", INITIALISATIONS)
def test_fresh_networks_begin_as_the_option_says(initialisation: str) -> None:
    options = NetworkOptions.checked(initialisation=initialisation)
    network = networks.build(options, (1, 8, 8), 10, RandomKey((0, "other")))
    fresh, built = reinitialised(network, _KEY), networks.build(options, (1, 8, 8), 10, _KEY)
    for name, tensor in built.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], tensor), name


def test_runs_that_leave_the_initialisation_to_pytorch_are_those_of_before() -> None:
    assert StreamRun(initialisation="pytorch").run_id == StreamRun().run_id
    assert StreamRun(initialisation="glorot_normal").run_id != StreamRun().run_id


def test_a_network_without_layers_to_draw_is_refused() -> None:
    told = "initialisation=orthogonal: must be pytorch with this network, which has no linear or "
    with pytest.raises(OptionError, match=told):
        initialise(_Scale(), "orthogonal")
    initialise(_Scale(), "pytorch")


def _of_unknown_origin(network: nn.Module) -> nn.Module:
    other = copy.deepcopy(network)
    del other.raylot_build
    return other


def test_the_key_alone_decides_and_nothing_else_is_disturbed() -> None:
    network = small_network(seed=1)
    before = copy.deepcopy(network.state_dict())
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    fresh = reinitialised(network, _KEY)
    assert torch.equal(torch.random.get_rng_state(), state)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])

    torch.manual_seed(6)
    again = reinitialised(small_network(seed=2), _KEY)
    other = reinitialised(network, _KEY.child(1))
    for name, tensor in fresh.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
        assert not torch.equal(tensor, other.state_dict()[name])
        assert not torch.equal(tensor, before[name])


class _Scale(nn.Module):
    def __init__(self, trainable: bool = True) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.full((3,), 7.0), requires_grad=trainable)


def test_a_module_that_cannot_be_initialised_is_named() -> None:
    network = nn.Sequential(nn.Linear(3, 3), _Scale())
    reason = "module 1 (_Scale) has no reset_parameters() that draws its factor anew"
    assert why_not_reinitialised(network) == reason
    with pytest.raises(OptionError) as caught:
        reinitialised(network, _KEY)
    assert str(caught.value) == f"network: cannot be initialised anew, as {reason}"
    assert why_not_reinitialised(_Scale()) == reason.replace("module 1 (_Scale)", "_Scale")
    assert why_not_reinitialised(small_network()) is None


def test_asking_whether_it_can_be_initialised_changes_nothing() -> None:
    network = nn.Sequential(nn.Linear(3, 3), _Scale())
    before, state = copy.deepcopy(network.state_dict()), torch.random.get_rng_state()
    why_not_reinitialised(network)
    assert torch.equal(torch.random.get_rng_state(), state)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


class _Forgetful(_Scale):
    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(3))

    def reset_parameters(self) -> None:
        nn.init.ones_(self.factor)


def test_a_reset_that_leaves_a_weight_as_it_was_does_not_do() -> None:
    assert why_not_reinitialised(_Forgetful()) == (
        "_Forgetful has no reset_parameters() that draws its shift anew"
    )


def test_frozen_weights_without_a_reset_keep_their_values() -> None:
    network = nn.Sequential(nn.Linear(3, 3), _Scale(trainable=False))
    fresh = reinitialised(network, _KEY)
    assert fresh.get_parameter("1.factor").tolist() == [7, 7, 7]
    assert not torch.equal(fresh.get_parameter("0.weight"), network.get_parameter("0.weight"))


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.MultiheadAttention(8, 2, add_bias_kv=True),
        lambda: nn.TransformerEncoderLayer(8, 2, 16),
        lambda: nn.LSTM(3, 4),
    ],
    ids=["attention", "transformer layer", "lstm"],
)
def test_pytorchs_own_layers_come_out_as_they_are_built(make: Callable[[], nn.Module]) -> None:
    fresh = reinitialised(make(), _KEY).state_dict()
    with torch.random.fork_rng():
        torch.manual_seed(_KEY.torch_seed())
        built = make().state_dict()
    assert fresh.keys() == built.keys()
    for name, tensor in built.items():
        assert torch.equal(fresh[name], tensor), name


class _Ones(nn.Module):
    """Has its own idea of how its part begins."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.ones_(self.layer.weight)


def test_a_modules_own_initialisation_of_its_parts_holds() -> None:
    network = nn.Sequential(nn.Linear(2, 2), _Ones())
    nn.init.zeros_(network.get_parameter("1.layer.weight"))
    fresh = reinitialised(network, _KEY)
    assert torch.equal(fresh.get_parameter("1.layer.weight"), torch.ones(2, 2))
