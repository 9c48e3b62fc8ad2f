"""Layer reset: which layers are fresh, and which moments start over."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from raylot.config import OptimizerOptions
from raylot.foundation.errors import OptionError
from tests.unit.interventions.trainings import make, trained


def _network() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)]
        return nn.Sequential(*layers)


@pytest.mark.parametrize(("count", "fresh"), [(1, {"4"}), (2, {"2", "4"}), (3, {"0", "2", "4"})])
def test_the_last_layers_start_anew_and_nothing_else(count: int, fresh: set[str]) -> None:
    """They are those with which ``reset`` starts all layers under a key of the same name."""
    plain, network = _network(), _network()
    adam = OptimizerOptions(lr=0.01)
    before = trained(plain, optimizer=adam).optimizer_state["exp_avg"]
    method = make("layer_reset", reset_layers=count)
    moments = trained(
        network, optimizer=adam, intervention=method, whole_task=True
    ).optimizer_state["exp_avg"]
    place = 0
    for name, parameter in network.named_parameters():
        own = slice(place, place + parameter.numel())
        place += parameter.numel()
        if name.partition(".")[0] in fresh:
            width = network.get_submodule(name.partition(".")[0]).weight.shape[1]
            assert not torch.equal(parameter, plain.get_parameter(name))
            assert float(parameter.detach().abs().max()) <= width**-0.5  # PyTorch's own range
            assert not moments[own].any()
        else:
            assert torch.equal(parameter, plain.get_parameter(name))
            assert torch.equal(moments[own], before[own])


def test_a_network_with_fewer_layers_is_refused() -> None:
    method = make("layer_reset", reset_layers=4)
    with pytest.raises(OptionError) as caught:
        trained(_network(), intervention=method, whole_task=True)
    assert str(caught.value) == (
        "reset_layers=4: must be at most 3, the linear and convolution layers of the network"
    )
