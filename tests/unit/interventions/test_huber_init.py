"""Regularisation towards the initial parameters by Huber's loss, by hand."""

from __future__ import annotations

import pytest
import torch

from tests.unit.interventions.trainings import make, step_without_inputs


def test_huber_init_by_hand() -> None:
    """The pull grows with the distance up to 1, and stays as it is beyond."""
    initial = {"weight": torch.tensor([[1.0, 2.5], [3.0, 7.0]]), "bias": torch.ones(2)}
    network = step_without_inputs(make("huber_init", huber_strength=0.5), initial=initial)
    # distances 2, 0.5, 0, -4: 3 - 0.1 * 0.5 * (1, 0.5, 0, -1)
    expected = torch.tensor([[2.95, 2.975], [3.0, 3.05]])
    torch.testing.assert_close(network.weight.detach(), expected)
    torch.testing.assert_close(network.bias.detach(), torch.tensor([1.05, 0.95]))


def test_huber_init_needs_to_know_the_beginning() -> None:
    with pytest.raises(ValueError, match=r"^initial: must be given"):
        step_without_inputs(make("huber_init"))
