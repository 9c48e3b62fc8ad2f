"""Which parameters are live, by hand."""

from __future__ import annotations

import torch

from raylot.plasticity.live import live_vector


def test_pruned_weights_are_0_and_all_else_is_1() -> None:
    parameters = {"a.weight": torch.zeros(2, 2).double(), "a.bias": torch.zeros(1).double()}
    found = live_vector(parameters, {"a.weight": torch.tensor([[True, False], [False, True]])})
    assert found.tolist() == [1, 0, 0, 1, 1]
    assert found.dtype == torch.float64
