"""Ranks against values worked out by hand, and against numpy on any matrix."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from raylot.plasticity.spectrum import effective_rank, singular_values, srank, stable_rank


def _values(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("shape", [(20, 7), (7, 20), (7, 7)])
def test_singular_values_agree_with_numpy(shape: tuple[int, int]) -> None:
    matrix = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    expected = np.linalg.svd(matrix.numpy().astype(float), compute_uv=False)
    assert singular_values(matrix).numpy() == pytest.approx(expected, rel=1e-12)


def test_effective_rank_by_hand() -> None:
    assert effective_rank(_values(2, 2, 2, 2, 2)) == pytest.approx(5)
    assert effective_rank(_values(7, 0, 0)) == 1
    # shares 3/4 and 1/4
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert effective_rank(_values(3, 1)) == pytest.approx(math.exp(entropy))


def test_stable_rank_by_hand() -> None:
    assert stable_rank(_values(2, 2, 2, 2, 2)) == pytest.approx(5)
    assert stable_rank(_values(7, 0, 0)) == 1
    assert stable_rank(_values(4, 2, 1)) == pytest.approx((16 + 4 + 1) / 16)


def test_srank_by_hand() -> None:
    assert srank(_values(98.5, 1, 0.5)) == 2  # one holds 98.5% of the sum, two 99.5%
    assert srank(_values(99.5, 0.25, 0.25)) == 1
    assert srank(_values(1, 1, 1, 1)) == 4  # three hold 75%
    assert srank(_values(6, 3, 1), delta=0.2) == 2  # 60%, 90%
    assert srank(_values(6, 3, 1), delta=0.05) == 3
    assert srank(_values(3, 1, 0), delta=0.25) == 1  # exactly 75% is enough


@pytest.mark.parametrize("rank", [effective_rank, stable_rank, srank])
def test_zeros_have_rank_0(rank: Callable[[Tensor], float]) -> None:
    assert rank(singular_values(torch.zeros(4, 3))) == 0
