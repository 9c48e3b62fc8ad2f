"""Whatever acts within steps: the fast engine does as the generic engine does, but for rounding."""

from __future__ import annotations

import pytest

from tests.unit.interventions.methods import ALL, made
from tests.unit.training.agreement import TASKS, assert_agree, network_for
from tests.unit.training.networks import random_masks

_SPARSE, _DENSE = "784 pixels, a tenth of them set", "digits"

#: It needs a norm before each activation, which the fast engine lacks.
_METHODS = [name for name in ALL if name != "weight_projection"]


@pytest.mark.parametrize("name", [_SPARSE, _DENSE])
@pytest.mark.parametrize("method", _METHODS)
def test_weights_agree_after_50_steps(method: str, name: str) -> None:
    task = TASKS[name]()
    network = network_for(task, 20, 33)
    initial = network_for(task, 20, 33, seed=1).state_dict()
    for density, masked in ((1.0, "zero"), (0.3, "freeze")):
        masks = None if density == 1 else random_masks(network, density)
        assert_agree(
            network, task, intervention=lambda: made(method), masks=masks, masked=masked,
            initial=initial, whole_task=True,
        )  # fmt: skip
