"""A reset leaves nothing of the network before."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from raylot.foundation.randomness import RandomKey
from raylot.training import TrainingResult
from tests.support.tasks import small_network
from tests.unit.interventions.trainings import KEY, make, trained, with_batch_norm
from tests.unit.training.networks import vector
from tests.unit.training.optimizers import EXTRAS, OPTIMIZERS


def _reset(seed: int, key: RandomKey = KEY) -> tuple[dict[str, Tensor], TrainingResult]:
    network = with_batch_norm(seed)
    result = trained(network, key=key, intervention=make("reset"), whole_task=True)
    return network.state_dict(), result


def test_reset_leaves_a_fresh_network_and_optimizer() -> None:
    """Nothing of the network before is left, statistics of batch norm included."""
    first, result = _reset(0)
    same, _ = _reset(1)
    next_task, _ = _reset(0, KEY.child("next task"))
    for name, tensor in first.items():
        assert torch.equal(tensor, same[name]), name
    for name in ("1.weight", "5.weight", "5.bias"):
        assert not torch.equal(first[name], next_task[name])
        assert 0 < first[name].abs().max() <= (0.5 if name == "1.weight" else 6**-0.5)
    assert first["2.weight"].tolist() == [1, 1, 1]
    assert first["2.bias"].tolist() == first["2.running_mean"].tolist() == [0, 0, 0]
    assert first["2.running_var"].tolist() == [1, 1, 1]
    assert first["2.num_batches_tracked"] == 0
    assert result.steps == 6
    assert all(bool((tensor == 0).all()) for tensor in result.optimizer_state.values())


@pytest.mark.parametrize("name", OPTIMIZERS | EXTRAS)
def test_an_optimizer_that_was_reset_is_as_new(name: str) -> None:
    options = (OPTIMIZERS | EXTRAS)[name]
    first = small_network()
    state = trained(
        first, optimizer=options, intervention=make("reset"), whole_task=True
    ).optimizer_state
    assert all(bool((tensor == 0).all()) for tensor in state.values())
    again, fresh = small_network(seed=1), small_network(seed=1)
    trained(again, optimizer=options, optimizer_state=state)
    trained(fresh, optimizer=options)
    assert torch.equal(vector(again), vector(fresh))
    assert not torch.equal(vector(fresh), vector(small_network(seed=1)))
