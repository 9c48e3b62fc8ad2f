"""Which units of a network feed one next layer, and what they put out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from raylot import networks
from raylot.config import NetworkOptions
from raylot.foundation.randomness import RandomKey
from raylot.networks.units import HiddenLayer, hidden_layers, recorded_outputs

_KEY = RandomKey((0, "test"))


def _outputs(network: nn.Module, inputs: Tensor) -> list[Tensor]:
    layers = hidden_layers(network)
    with recorded_outputs(network, layers) as recorded:
        network(inputs)
    return [layer.outputs(recorded[layer.name]) for layer in layers]


def test_a_chain_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3),
        nn.ReLU(), nn.Linear(3, 2, bias=False),
    )  # fmt: skip
    assert hidden_layers(network) == [
        HiddenLayer(
            "0", 2, "0.weight",
            ("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"),
            "0.bias", "4", "4.weight", "4.bias", 1, True,
        ),
        HiddenLayer("4", 3, "4.weight", ("4.weight", "4.bias"), "4.bias", "6", "6.weight", None, 1,
                    True),
    ]  # fmt: skip


def test_outputs_by_unit() -> None:
    """Channel 0 of an image is (1, 2, 3, 4), channel 1 ten times as much, of a second one + 100."""
    image = torch.tensor([1.0, 2, 3, 4]).view(1, 1, 2, 2)
    inputs = torch.cat([torch.cat([image, 10 * image], 1), 100 + torch.cat([image, 10 * image], 1)])
    one = nn.Conv2d(2, 2, 1)
    nn.init.dirac_(one.weight)
    nn.init.zeros_(one.bias)
    ends: list[list[nn.Module]] = [[nn.Flatten(), nn.Linear(8, 3)], [nn.Conv2d(2, 3, 2)]]
    for end in ends:
        (outputs,) = _outputs(nn.Sequential(one, *end), inputs)
        assert outputs.T.sort().values.tolist() == [
            [1, 2, 3, 4, 101, 102, 103, 104], [10, 20, 30, 40, 110, 120, 130, 140],
        ]  # fmt: skip


class _Both(nn.Module):
    copies = 2

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.cat([inputs, -inputs], dim=1)


def test_an_activation_that_joins_two_functions_of_each_unit() -> None:
    network = nn.Sequential(nn.Linear(2, 2, bias=False), _Both(), nn.Linear(4, 3))
    nn.init.eye_(network[0].weight)
    (layer,) = hidden_layers(network)
    assert layer.copies == 2
    (outputs,) = _outputs(network, torch.tensor([[1.0, 2]]))
    assert outputs.tolist() == [[1, 2], [-1, -2]]
    by_place = layer.outputs_by_place(torch.tensor([[1.0, 2, -1, -2]]))
    assert by_place.squeeze(-1).tolist() == [[[1, 2], [-1, -2]]]
    places = torch.arange(12).view(3, 4)
    by_unit = layer.outgoing_by_unit(places)
    assert by_unit[:, :, 1].squeeze(-1).tolist() == [[1, 3], [5, 7], [9, 11]]


def test_places_of_a_sequence_are_rows() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    (outputs,) = _outputs(network, torch.rand(4, 5, 2))
    assert outputs.shape == (20, 3)


def test_of_a_residual_network_the_units_inside_blocks_are_found() -> None:
    options = NetworkOptions(network="resnet", width=2)
    network = networks.build(options, (1, 8, 8), 3, _KEY)
    assert [(layer.name, layer.following) for layer in hidden_layers(network)] == [
        (f"stage{n}.block1.conv1", f"stage{n}.block1.conv2") for n in (1, 2, 3)
    ]


def test_a_module_between_two_layers_with_weights_of_another_kind_breaks_the_chain() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.Bilinear(3, 3, 3), nn.Linear(3, 2))
    assert hidden_layers(network) == []


def test_a_norm_of_both_numbers_of_a_unit_breaks_the_chain() -> None:
    """Its gains of one unit do not lie side by side, as a flattened channel's do."""
    after = nn.Sequential(nn.Linear(2, 2), _Both(), nn.LayerNorm(4), nn.Linear(4, 3))
    assert hidden_layers(after) == []
    before = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2), _Both(), nn.Linear(4, 3))
    assert [layer.name for layer in hidden_layers(before)] == ["0"]
