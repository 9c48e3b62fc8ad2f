"""Plasticity injection: no output changes at once; what is added, by hand; masks and records."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from raylot import networks
from raylot.config import NetworkOptions
from raylot.foundation.errors import OptionError
from raylot.networks.initialisation import reinitialised
from raylot.plasticity import recorded_activations
from tests.support.tasks import random_task, small_network
from tests.unit.interventions.trainings import KEY, STANDING_STILL, make, trained, with_batch_norm
from tests.unit.training.networks import bits, random_masks, vector

_INPUTS = torch.rand(5, 6, generator=torch.Generator().manual_seed(0))


def _injected(**arguments: Any) -> tuple[nn.Module, nn.Module]:
    """A network after a task with an injection at its end, and one after the task without."""
    network, plain = small_network(), small_network()
    trained(plain, **arguments)
    trained(
        network, intervention=make("plasticity_injection", inject_after=1), whole_task=True,
        **arguments,
    )  # fmt: skip
    return network, plain


def _flat(network: nn.Module, flat: str) -> nn.Module:
    """A network whose parameters are those of a buffer."""
    made = small_network()
    nn.utils.vector_to_parameters(network.get_buffer(flat), made.parameters())
    return made


def test_no_output_changes_but_all_weights_do() -> None:
    network, plain = _injected()
    assert torch.equal(bits(network(_INPUTS)), bits(plain(_INPUTS)))
    assert not torch.isin(vector(network), vector(plain)).any()


def test_outputs_are_old_plus_new_minus_fresh_and_only_new_trains() -> None:
    network, plain = _injected()
    fresh = copy.deepcopy(_flat(network, "injected_fresh"))
    trained(network, random_task(seed=1))
    with torch.no_grad():
        new = small_network()
        nn.utils.vector_to_parameters(vector(network), new.parameters())
        torch.testing.assert_close(network(_INPUTS), plain(_INPUTS) + new(_INPUTS) - fresh(_INPUTS))
        assert not torch.allclose(network(_INPUTS), plain(_INPUTS))
    assert torch.equal(vector(_flat(network, "injected_old")), vector(plain))
    assert torch.equal(vector(_flat(network, "injected_fresh")), vector(fresh))


def test_it_injects_once_and_when_asked_to() -> None:
    network, method = small_network(), make("plasticity_injection", inject_after=2)
    weights = []
    for _ in range(4):
        trained(network, intervention=method, optimizer=STANDING_STILL, whole_task=True)
        weights.append(vector(network))
    assert torch.equal(weights[0], vector(small_network()))
    assert not torch.equal(weights[1], weights[0])
    assert torch.equal(weights[1], weights[2])
    again = make("plasticity_injection", inject_after=1)  # as a ticket stream of this network
    trained(network, intervention=again, optimizer=STANDING_STILL, whole_task=True)
    assert torch.equal(vector(network), weights[3])


@pytest.mark.parametrize("masked", ["zero", "freeze"])
def test_in_a_masked_network_no_output_changes_either(masked: str) -> None:
    masks = random_masks(small_network(), 0.5, 0)
    network, plain = _injected(masks=masks, masked=masked)
    assert torch.equal(bits(network(_INPUTS)), bits(plain(_INPUTS)))


def test_a_network_that_is_built_prepared_can_be_saved_and_drawn_anew() -> None:
    """A snapshot holds the frozen networks; a fresh network has none."""
    method = make("plasticity_injection", inject_after=1)
    options = NetworkOptions(network="mlp", hidden=(4,))

    def build() -> nn.Module:
        return networks.build(options, (6,), 3, KEY, method.prepare)

    network, other = build(), build()
    names = list(network.state_dict())
    trained(network, intervention=method, whole_task=True)
    assert list(network.state_dict()) == names
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(_INPUTS), network(_INPUTS))
    assert torch.equal(networks.with_state(build(), network.state_dict())(_INPUTS), other(_INPUTS))
    fresh = reinitialised(network, KEY.child("fresh"))
    assert list(fresh.state_dict()) == names
    assert not fresh.get_buffer("injected")


def test_metrics_see_the_activations_of_the_new_network_alone() -> None:
    def recorded(network: nn.Module) -> dict[str, Tensor]:
        with recorded_activations(network) as found:
            network(_INPUTS)
        return {name: each.outputs for name, each in found.items()}

    network, _ = _injected()
    new = _flat(network, "injected_fresh")
    found, expected = recorded(network), recorded(new)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_running_statistics_are_refused() -> None:
    with pytest.raises(OptionError) as caught:
        trained(with_batch_norm(), intervention=make("plasticity_injection"), whole_task=True)
    assert str(caught.value) == (
        "intervention=plasticity_injection: must go with a network without running statistics or "
        "other buffers, which frozen networks cannot share; here it has 2.running_mean"
    )
