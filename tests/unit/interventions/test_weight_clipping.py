"""Weight clipping, by hand."""

from __future__ import annotations

import math

import torch
from torch import nn

from tests.unit.interventions.trainings import (
    STANDING_STILL,
    make,
    step_without_inputs,
    trained,
    with_batch_norm,
)


def test_weight_clipping_by_hand() -> None:
    """With two inputs the bound is 2 / sqrt(2) = 1.4142 for weights and biases alike."""
    weight = torch.tensor([[3.0, 1.0], [-2.0, -1.4]])
    network = step_without_inputs(make("weight_clipping", clip_factor=2), weight)
    bound = 1.41421356
    expected = torch.tensor([[bound, 1.0], [-bound, -1.4]])
    torch.testing.assert_close(network.weight.detach(), expected)
    torch.testing.assert_close(network.bias.detach(), torch.tensor([1.05, 0.95]))  # as without it
    tighter = step_without_inputs(make("weight_clipping", clip_factor=1), weight)
    torch.testing.assert_close(tighter.bias.detach(), torch.full((2,), 0.70710678))


def test_each_layer_has_its_own_bound_and_norms_have_none() -> None:
    """Of 1 channel and a 2x2 kernel the fan-in is 4; the linear layer has 6 inputs."""
    network = with_batch_norm()
    for parameter in network.parameters():
        nn.init.constant_(parameter, 7)
    trained(network, optimizer=STANDING_STILL, intervention=make("weight_clipping", clip_factor=3))
    ends = {name: p.detach().unique().tolist() for name, p in network.named_parameters()}
    linear = torch.tensor(3 / math.sqrt(6)).item()
    assert ends == {
        "1.weight": [1.5], "2.weight": [7.0], "2.bias": [7.0],
        "5.weight": [linear], "5.bias": [linear],
    }  # fmt: skip
