"""Norms: what they normalise over, and the number of groups."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from raylot.networks.architectures._parts import Style, halved


def test_batch_norm_is_per_channel_and_layer_norm_per_example() -> None:
    values = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    for norm, over in (("batch", (0, 2, 3)), ("layer", (1, 2, 3))):
        normed = Style(norm).normalisation(nn.Conv2d(1, 3, 1))(values)
        mean, deviation = values.mean(over, True), values.std(over, correction=0, keepdim=True)
        assert torch.allclose(normed, (values - mean) / deviation, atol=1e-3)
    assert torch.equal(Style("none").normalisation(nn.Conv2d(1, 3, 1))(values), values)


def test_norms_of_vectors_by_hand() -> None:
    """(1, 3) and (3, 7): per unit -1 and 1; per example -1 and 1."""
    values = torch.tensor([[1.0, 3.0], [3.0, 7.0]])
    for norm, expected in (("batch", [-1, -1, 1, 1]), ("layer", [-1, 1, -1, 1])):
        normed = Style(norm).normalisation(nn.Linear(1, 2))(values)
        assert normed.flatten().tolist() == pytest.approx(expected, abs=1e-4)


def test_group_norm_is_per_example_and_group() -> None:
    values = torch.randn(2, 32, 3, 3, generator=torch.Generator().manual_seed(0))
    normed = Style("group").normalisation(nn.Conv2d(1, 32, 1))(values)
    for half in (slice(0, 16), slice(16, 32)):
        part = values[:, half]
        mean = part.mean((1, 2, 3), True)
        expected = (part - mean) / part.std((1, 2, 3), correction=0, keepdim=True)
        assert torch.allclose(normed[:, half], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("units", "groups"),
    [
        (1, 1), (6, 1), (31, 1), (32, 2), (37, 1), (48, 3), (64, 4), (84, 4), (100, 5),
        (120, 6), (300, 15), (512, 32), (1000, 25), (1024, 32),
    ],
)  # fmt: skip
def test_groups_have_sixteen_units_or_a_few_more(units: int, groups: int) -> None:
    """300 units: 18 groups would leave 16.7 units each, and 15 is the next number that divides."""
    norm = Style("group").normalisation(nn.Linear(1, units))
    assert isinstance(norm, nn.GroupNorm)
    assert norm.num_groups == groups


@pytest.mark.parametrize(
    ("side", "times", "left"), [(32, 3, 4), (28, 2, 7), (28, 4, 2), (1, 9, 1), (9, 1, 5), (8, 0, 8)]
)
def test_halving_rounds_up(side: int, times: int, left: int) -> None:
    assert halved(side, times) == left


def test_a_norm_has_the_bias_in_place_of_its_layer() -> None:
    assert Style().bias
    assert not any(Style(norm).bias for norm in ("batch", "layer", "group"))
