"""FIRE against the polar factor of a singular value decomposition, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from raylot.interventions.fire import orthogonalised
from tests.unit.interventions.trainings import STANDING_STILL, make, trained, with_batch_norm


def test_by_hand() -> None:
    """A diagonal matrix becomes the identity; a row of norm 5 one of norm sqrt(1 / 2)."""
    square = orthogonalised(torch.tensor([[3.0, 0], [0, -4]]))
    torch.testing.assert_close(square, torch.tensor([[1.0, 0], [0, -1]]))
    row = orthogonalised(torch.tensor([[3.0, 4]]))
    torch.testing.assert_close(row, torch.tensor([[0.6, 0.8]]) / math.sqrt(2))
    assert torch.equal(orthogonalised(torch.zeros(2, 3)), torch.zeros(2, 3))


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (8, 2)])
def test_ten_steps_take_each_singular_value_as_far_as_ten_steps_of_a_number(
    shape: tuple[int, int],
) -> None:
    """In float64: U p(S) V, p ten times x -> 1.5 x - 0.5 x^3 of S / |S|."""
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    left, values, right = np.linalg.svd(weight.double().numpy(), full_matrices=False)
    values = values / np.linalg.norm(values)
    for _ in range(10):
        values = 1.5 * values - 0.5 * values**3
    expected = math.sqrt(shape[0] / shape[1]) * (left * values) @ right
    assert np.allclose(orthogonalised(weight).numpy(), expected, atol=1e-5)


def test_each_place_of_a_kernel_has_a_matrix_of_its_own() -> None:
    weight = torch.randn(4, 3, 2, 5, generator=torch.Generator().manual_seed(1))
    found = orthogonalised(weight)
    for row in range(2):
        for column in range(5):
            alone = orthogonalised(weight[:, :, row, column]) / 10
            torch.testing.assert_close(found[:, :, row, column], alone)


def test_it_acts_after_a_task_on_weights_alone_and_the_optimizer_starts_over() -> None:
    network = with_batch_norm()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    trained(network, intervention=make("fire"), optimizer=STANDING_STILL)
    assert torch.equal(network.get_parameter("5.weight"), before["5.weight"])
    result = trained(
        network, intervention=make("fire"), optimizer=STANDING_STILL.model_copy(
            update={"momentum": 0.9}
        ), whole_task=True,
    )  # fmt: skip
    for name, parameter in network.named_parameters():
        changed = name in ("1.weight", "5.weight")
        expected = orthogonalised(before[name]) if changed else before[name]
        torch.testing.assert_close(parameter.detach(), expected)
    assert not any(moment.any() for moment in result.optimizer_state.values())


def test_a_computed_or_frozen_weight_stays() -> None:
    frozen = nn.Linear(2, 2).requires_grad_(False)
    computed = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    network = nn.Sequential(nn.Linear(6, 2), frozen, computed, nn.Linear(2, 3))
    before = [frozen.weight.clone(), computed.weight.detach().clone()]
    trained(network, intervention=make("fire"), optimizer=STANDING_STILL, whole_task=True)
    assert torch.equal(frozen.weight, before[0])
    assert torch.equal(computed.weight, before[1])
