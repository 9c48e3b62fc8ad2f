"""Every method on a GPU."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from raylot import interventions
from tests.support.tasks import random_task
from tests.unit.interventions.methods import ALL, made, with_norm
from tests.unit.interventions.trainings import trained
from tests.unit.training.networks import assert_pruned_stay, bits, random_masks, vector, weights_of


def _lived(start: nn.Module, name: str, device: torch.device) -> nn.Module:
    """Two tasks with masks and a carried optimizer, and the method saved in between."""
    network = copy.deepcopy(start).to(device)
    initial = {n: tensor.clone() for n, tensor in network.state_dict().items()}
    masks = {n: mask.to(device) for n, mask in random_masks(start, 0.7).items()}
    before, optimizer_state = weights_of(network), None
    state: dict[str, Tensor] = {}
    for seed in (0, 1):
        method = made(name)
        if state:
            interventions.load_state(name, method, state, device)
        optimizer_state = trained(
            network, random_task(seed=seed).to(device), intervention=method, whole_task=True,
            masks=masks, masked="freeze", initial=initial, optimizer_state=optimizer_state,
        ).optimizer_state  # fmt: skip
        state = interventions.state_tensors(name, method)
    assert_pruned_stay(network, before, masks, "freeze")
    return network


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", ALL)
def test_it_trains_alike_each_time_as_on_the_cpu_and_moves_no_pruned_weight(name: str) -> None:
    start, gpu = with_norm(name)(seed=3), torch.device("cuda")
    first, second = (vector(_lived(start, name, gpu)) for _ in range(2))
    assert torch.equal(bits(first), bits(second))
    on_cpu = vector(_lived(start, name, torch.device("cpu")))
    torch.testing.assert_close(first.cpu(), on_cpu, rtol=1e-3, atol=1e-3)
