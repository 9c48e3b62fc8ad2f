"""Duplicate units against units worked out by hand, and numpy's cosines of every pair."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from raylot.plasticity.duplicates import duplicate_fraction
from tests.unit.plasticity.examples import EXAMPLES, example


def test_of_units_that_are_all_alike_one_is_no_duplicate() -> None:
    unit = torch.tensor([1.0, 0.0, 2.0])
    units = torch.stack([unit, 3 * unit, 0.1 * unit, unit.flip(0)], dim=1)
    assert duplicate_fraction(units, 0.95) == 2 / 4  # the cosine with the last is 4 / 5
    assert duplicate_fraction(units, 0.79) == 3 / 4


def test_a_unit_with_the_opposite_sign_is_no_duplicate() -> None:
    assert duplicate_fraction(torch.tensor([[1.0, -1.0], [2.0, -2.0]]), 0.95) == 0


def test_dead_units_duplicate_none_and_count_among_all() -> None:
    units = torch.tensor([[0.0, 0.0, 1.0, 2.0], [0.0, 0.0, 1.0, 2.0]])
    assert duplicate_fraction(units, 0.95) == 1 / 4
    assert duplicate_fraction(torch.zeros(3, 2), 0.95) == 0


def test_a_cosine_is_that_of_very_small_activations_too() -> None:
    assert duplicate_fraction(torch.full((4, 2), 1e-30), 0.95) == 1 / 2


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("cosine", [0.3, 0.6])
def test_agrees_with_the_cosines_of_every_pair(name: str, cosine: float) -> None:
    one = example(name)
    network = one.network
    assert isinstance(network, nn.Sequential)
    hidden = F.relu((network[:2] if name == "conv" else network[:1])(one.inputs)).detach()
    units = hidden.movedim(1, -1).reshape(-1, hidden.shape[1]).numpy().astype(float)
    count = units.shape[1]
    found = 0
    for i in range(count):
        for j in range(i + 1, count):
            a, b = units[:, i], units[:, j]
            if a.any() and b.any() and a @ b > cosine * np.linalg.norm(a) * np.linalg.norm(b):
                found += 1
                break
    layer = {"duplicate_fraction": found / count}
    assert one.measured("duplicates", duplicate_cosine=cosine) == {
        (where, name): value for where in ("0", "all") for name, value in layer.items()
    }
    assert found or cosine > 0.3
