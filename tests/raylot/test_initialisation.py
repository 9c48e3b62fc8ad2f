"""Fresh initial weights: those of a newly built network, and the key alone decides them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from raylot import networks
from raylot.config import NetworkOptions
from raylot.initialisation import reinitialise, reinitialised
from raylot.randomness import RandomKey
from tests.raylot.tasks import small_network

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
    fresh = reinitialised(network, _KEY).state_dict()
    assert fresh.keys() == built.keys()
    for name, tensor in built.items():
        assert torch.equal(fresh[name], tensor), name


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


def test_in_place_the_parameters_remain_the_same_objects() -> None:
    network = small_network()
    parameters = list(network.parameters())
    reinitialise(network, _KEY)
    expected = reinitialised(network, _KEY)
    for parameter, own, wanted in zip(
        parameters, network.parameters(), expected.parameters(), strict=True
    ):
        assert parameter is own
        assert torch.equal(own, wanted)


class _Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.full((3,), 7.0))


def test_a_module_that_cannot_be_initialised_is_named_and_nothing_is_changed() -> None:
    network = nn.Sequential(nn.Linear(3, 3), _Scale())
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(ValueError, match=r"^network: 1 has weights but no reset_parameters\(\)"):
        reinitialise(network, _KEY)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])
    with pytest.raises(ValueError, match=r"^network: _Scale has weights"):
        reinitialised(_Scale(), _KEY)


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
