"""Metrics of gradients against values worked out by hand."""

from __future__ import annotations

import math

import torch

from raylot.plasticity import zero_fraction


def test_only_exact_zeros_count() -> None:
    assert zero_fraction(torch.tensor([[0.0, 1e-30], [-0.0, 2.0]])) == 0.5
    assert zero_fraction(torch.ones(3)) == 0
    assert math.isnan(zero_fraction(torch.empty(0)))
