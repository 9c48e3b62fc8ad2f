"""L2 regularisation towards freshly drawn initial parameters, by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.unit.interventions.trainings import KEY, make, step_without_inputs


def _drawn(step: int) -> Tensor:
    """What PyTorch draws as the weight of a new layer in a step."""
    with torch.random.fork_rng():
        torch.manual_seed(KEY.child("intervention", "resampled", step).torch_seed())
        return nn.Linear(2, 2).weight.detach()


def test_resampled_init_by_hand() -> None:
    network = step_without_inputs(make("resampled_init", l2_strength=0.25))
    # 3 - 0.1 * 2 * 0.25 * (3 - drawn)
    torch.testing.assert_close(network.weight.detach(), 3 - 0.05 * (3 - _drawn(0)))


def test_each_step_draws_anew() -> None:
    """With learning rate 0.1 and strength 5, a step takes weights all the way to the draw."""
    network = step_without_inputs(make("resampled_init", l2_strength=5), epochs=2)
    torch.testing.assert_close(network.weight.detach(), _drawn(1))
    assert not torch.allclose(_drawn(0), _drawn(1))
