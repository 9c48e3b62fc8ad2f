"""L2 regularisation by hand, and beside weight decay."""

from __future__ import annotations

import pytest
import torch

from raylot.config import OptimizerOptions
from tests.support.tasks import small_network
from tests.unit.interventions.trainings import STANDING_STILL, make, step_without_inputs, trained
from tests.unit.training.networks import vector


def test_l2_by_hand() -> None:
    network = step_without_inputs(make("l2", l2_strength=0.25))
    # 3 - 0.1 * 2 * 0.25 * 3;  1 - 0.1 * (-0.5 + 2 * 0.25 * 1), 1 - 0.1 * (0.5 + 0.5)
    torch.testing.assert_close(network.weight.detach(), torch.full((2, 2), 2.85))
    torch.testing.assert_close(network.bias.detach(), torch.tensor([1.0, 0.9]))


@pytest.mark.parametrize("options", [{"momentum": 0.0}, {"momentum": 0.9}])
def test_l2_is_twice_torchs_weight_decay(options: dict[str, float]) -> None:
    """So is l2_init from the origin."""
    regularised, drawn, decayed, plain = (small_network() for _ in range(4))
    sgd = OptimizerOptions(optimizer="sgd", lr=0.01, **options)
    origin = {name: torch.zeros_like(p) for name, p in drawn.named_parameters()}
    trained(regularised, optimizer=sgd, intervention=make("l2", l2_strength=0.5))
    trained(drawn, optimizer=sgd, intervention=make("l2_init", l2_strength=0.5), initial=origin)
    trained(decayed, optimizer=sgd.model_copy(update={"weight_decay": 1.0}))
    trained(plain, optimizer=sgd)
    torch.testing.assert_close(vector(regularised), vector(decayed))
    torch.testing.assert_close(vector(drawn), vector(decayed))
    assert not torch.allclose(vector(plain), vector(decayed), rtol=1e-3)


def test_the_loss_reported_is_that_of_the_task() -> None:
    plain = trained(small_network(), optimizer=STANDING_STILL)
    regularised = trained(
        small_network(), optimizer=STANDING_STILL, intervention=make("l2", l2_strength=100)
    )
    assert regularised.train_loss == plain.train_loss
