"""Metrics of weights against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from raylot.plasticity import mean_magnitude, norm

_WEIGHTS = torch.tensor([[3.0, -4.0], [0.0, 12.0]])


def test_norm_is_euclidean_over_all_elements() -> None:
    assert norm(_WEIGHTS) == 13
    assert norm(_WEIGHTS.view(1, 2, 2, 1)) == 13
    assert norm(torch.empty(0)) == 0


def test_norm_does_not_overflow_float32() -> None:
    assert norm(torch.full((4,), 1e30)) == pytest.approx(2e30, rel=1e-6)


def test_mean_magnitude_ignores_signs() -> None:
    assert mean_magnitude(_WEIGHTS) == 19 / 4
    assert math.isnan(mean_magnitude(torch.empty(0)))
