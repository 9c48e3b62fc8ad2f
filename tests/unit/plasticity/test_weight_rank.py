"""Ranks of weights against numpy's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tests.unit.plasticity.examples import EXAMPLES, Example, example


def _expected(weights: np.ndarray) -> tuple[int, float]:
    """The rank, and the effective rank."""
    values = np.linalg.svd(weights.astype(float), compute_uv=False)
    shares = values[values > 0] / values.sum()
    return int(np.linalg.matrix_rank(weights)), float(np.exp(-(shares * np.log(shares)).sum()))


@pytest.mark.parametrize("name", EXAMPLES)
def test_agrees_with_numpy(name: str) -> None:
    one = example(name)
    found = one.measured("weight_rank")
    ranks, most = [], []
    for weight, parameter in one.parameters.items():
        if parameter.ndim < 2:
            continue
        layer = weight.removesuffix(".weight")
        live = parameter.detach() * one.masks.get(weight, torch.tensor(1))
        matrix = live.flatten(1).numpy()
        rank, effective = _expected(matrix)
        ranks.append((rank, effective))
        most.append(min(matrix.shape))
        assert found[layer, "weight_rank_fraction"] == rank / most[-1]
        assert found[layer, "weight_effective_rank_fraction"] == pytest.approx(
            effective / most[-1], rel=1e-6
        )
    assert found["all", "weight_rank_fraction"] == pytest.approx(
        sum(rank for rank, _ in ranks) / sum(most)
    )
    assert found["all", "weight_effective_rank_fraction"] == pytest.approx(
        sum(effective for _, effective in ranks) / sum(most), rel=1e-6
    )


def test_rounding_is_no_rank() -> None:
    """The product of 6 x 2 and 2 x 5 has rank 2, and rounding of float32 in the other values."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    with torch.no_grad():
        network.get_parameter("0.weight").copy_(torch.randn(5, 2) @ torch.randn(2, 6))
        network.get_parameter("2.weight").zero_()
    found = Example(network, {}, example("dense").task).measured("weight_rank")
    assert found["0", "weight_rank_fraction"] == 2 / 5
    assert found["2", "weight_rank_fraction"] == 0
    assert found["2", "weight_effective_rank_fraction"] == 0
    assert found["all", "weight_rank_fraction"] == 2 / 8


def test_a_mask_can_take_all_rank() -> None:
    one = example("dense")
    one.masks = {"0.weight": torch.zeros(8, 6, dtype=torch.bool)}
    found = one.measured("weight_rank")
    assert found["0", "weight_rank_fraction"] == 0
    assert found["2", "weight_rank_fraction"] == 1
