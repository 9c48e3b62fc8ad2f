"""Weight projection by hand, and the networks that it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from raylot import networks
from raylot.config import NetworkOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.tasks import Task
from tests.support.tasks import small_network
from tests.unit.interventions.trainings import make, step_without_inputs, trained

_INITIAL = {"weight": torch.tensor([[1.0, 1.0], [3.0, 5.0]]), "bias": torch.tensor([0.0, 2.0])}


def test_weight_projection_by_hand() -> None:
    """The initial norm is sqrt(1 + 1 + 9 + 25) = 6, so four equal weights come to 3."""
    network = step_without_inputs(make("weight_projection"), 12.0, initial=_INITIAL)
    torch.testing.assert_close(network.weight.detach(), torch.full((2, 2), 3.0))
    torch.testing.assert_close(network.bias.detach(), torch.tensor([1.05, 0.95]))  # as without it


@pytest.mark.parametrize(("masked", "pruned"), [("zero", 0.0), ("freeze", 12.0)])
def test_only_live_weights_count(masked: str, pruned: float) -> None:
    """The initial norm of those that live is sqrt(1 + 1 + 25) = 5.196; three equal ones are 3."""
    masks = {"weight": torch.tensor([[True, True], [False, True]])}
    network = step_without_inputs(
        make("weight_projection"), 12.0, initial=_INITIAL, masks=masks, masked=masked
    )
    expected = torch.tensor([[3.0, 3.0], [pruned, 3.0]])
    torch.testing.assert_close(network.weight.detach(), expected)


def test_a_weight_that_starts_at_0_is_left_alone() -> None:
    initial = {"weight": torch.zeros(2, 2), "bias": torch.zeros(2)}
    network = step_without_inputs(make("weight_projection"), initial=initial)
    assert torch.equal(network.weight.detach(), torch.full((2, 2), 3.0))


def test_every_layer_keeps_its_norm_over_a_training() -> None:
    network = _network(network="resnet", norm="layer", width=2)
    initial = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    trained(network, _images(), intervention=make("weight_projection"), initial=initial)
    for name, parameter in network.named_parameters():
        assert not torch.equal(parameter, initial[name])
        if parameter.dim() > 1:
            assert float(parameter.detach().norm()) == pytest.approx(
                float(initial[name].norm()), rel=1e-5
            )


def _images() -> Task:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, 17, (48, 1, 8, 8), generator=generator).to(torch.uint8)
    labels = torch.arange(48) % 3
    return Task(inputs[:32], labels[:32], inputs[32:], labels[32:], 3)


def _network(**options: object) -> nn.Module:
    return networks.build(NetworkOptions(**options), (1, 8, 8), 3, RandomKey((0,)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("network", "told"),
    [
        (small_network(), "module 0 (Linear) is followed by ReLU"),
        (_network(network="vgg", width=1), "module stage1.conv1 (Conv2d) is followed by ReLU"),
        (
            nn.Sequential(
                nn.Linear(6, 4), nn.ReLU(), nn.LayerNorm(4), nn.Linear(4, 3), nn.LogSoftmax(1)
            ),
            "module 0 (Linear) is followed by ReLU",
        ),
    ],
)
def test_a_network_without_norms_before_activations_is_refused(
    network: nn.Module, told: str
) -> None:
    with pytest.raises(OptionError) as caught:
        make("weight_projection").check(network)
    assert str(caught.value) == (
        "intervention=weight_projection: must go with a network that has a norm right after each "
        f"layer but the last; here {told}"
    )


@pytest.mark.parametrize("norm", ["batch", "layer"])
@pytest.mark.parametrize("network", ["vgg", "resnet"])
def test_networks_with_norms_are_accepted(network: str, norm: str) -> None:
    make("weight_projection").check(_network(network=network, norm=norm, width=1))
