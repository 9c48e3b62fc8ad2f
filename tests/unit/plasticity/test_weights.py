"""Metrics of weights against values worked out by hand."""

from __future__ import annotations

import pytest
import torch

from raylot.plasticity.weights import norm


def test_norm_does_not_overflow_float32() -> None:
    assert norm(torch.full((4,), 1e30)) == pytest.approx(2e30, rel=1e-6)
