"""L2 regularisation towards the initial parameters, by hand."""

from __future__ import annotations

import pytest
import torch

from tests.unit.interventions.trainings import make, step_without_inputs


def test_l2_init_by_hand() -> None:
    """Weights are drawn to where their life began, not to where this training starts."""
    initial = {"weight": torch.ones(2, 2), "bias": torch.tensor([0.0, 2.0])}
    network = step_without_inputs(make("l2_init", l2_strength=0.25), initial=initial)
    # 3 - 0.1 * 2 * 0.25 * (3 - 1);  1 - 0.1 * (-0.5 + 0.5 * 1), 1 - 0.1 * (0.5 + 0.5 * -1)
    torch.testing.assert_close(network.weight.detach(), torch.full((2, 2), 2.9))
    torch.testing.assert_close(network.bias.detach(), torch.tensor([1.0, 1.0]))


def test_l2_init_needs_to_know_the_beginning() -> None:
    with pytest.raises(ValueError, match=r"^initial: must be given"):
        step_without_inputs(make("l2_init"))
