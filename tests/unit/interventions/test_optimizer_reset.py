"""Optimizer reset: a stream that carries its optimizer trains as one that does not."""

from __future__ import annotations

import pytest
import torch

from raylot.config import StreamRun
from raylot.foundation.errors import OptionError
from tests.support.tasks import random_task, small_network
from tests.unit.interventions.trainings import make, trained
from tests.unit.training.networks import bits, vector
from tests.unit.training.optimizers import OPTIMIZERS


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_carried_optimizer_that_starts_over_is_a_fresh_one(name: str) -> None:
    fresh, carried = small_network(), small_network()
    state = None
    for t in range(3):
        trained(fresh, random_task(seed=t), optimizer=OPTIMIZERS[name])
        state = trained(
            carried, random_task(seed=t), optimizer=OPTIMIZERS[name], optimizer_state=state,
            intervention=make("optimizer_reset"), whole_task=True,
        ).optimizer_state  # fmt: skip
    assert torch.equal(bits(vector(carried)), bits(vector(fresh)))


def test_without_a_carried_optimizer_there_is_nothing_to_reset() -> None:
    with pytest.raises(OptionError) as caught:
        StreamRun.checked(intervention="optimizer_reset")
    assert str(caught.value) == (
        "carry_optimizer=False: must be True with intervention optimizer_reset; without it, each "
        "task begins with a fresh optimizer anyway"
    )
