"""L1 regularisation towards the initial parameters, by hand."""

from __future__ import annotations

import pytest
import torch

from tests.unit.interventions.trainings import make, step_without_inputs


def test_l1_init_by_hand() -> None:
    """Each parameter is drawn equally hard to where its life began; none goes past it."""
    initial = {"weight": torch.tensor([[1.0, 2.5], [3.0, 5.0]]), "bias": torch.tensor([0.0, 2.0])}
    network = step_without_inputs(make("l1_init", l1_strength=0.25), initial=initial)
    # 3 - 0.1 * 0.25 * sign(3 - initial);  1 - 0.1 * (-0.5 + 0.25), 1 - 0.1 * (0.5 - 0.25)
    expected = torch.tensor([[2.975, 2.975], [3.0, 3.025]])
    torch.testing.assert_close(network.weight.detach(), expected)
    torch.testing.assert_close(network.bias.detach(), torch.tensor([1.025, 0.975]))


def test_l1_init_needs_to_know_the_beginning() -> None:
    with pytest.raises(ValueError, match=r"^initial: must be given"):
        step_without_inputs(make("l1_init"))
