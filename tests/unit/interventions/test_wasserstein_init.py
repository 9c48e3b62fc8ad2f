"""Regularisation towards the distribution of initial parameters, by hand."""

from __future__ import annotations

import pytest
import torch

from tests.unit.interventions.trainings import make, step_without_inputs

_WEIGHT = torch.tensor([[4.0, 1.0], [2.0, 8.0]])
_INITIAL = {"weight": torch.tensor([[0.0, 5.0], [3.0, 1.0]]), "bias": torch.ones(2)}


def test_wasserstein_init_by_hand() -> None:
    method = make("wasserstein_init", wasserstein_strength=0.5)
    network = step_without_inputs(method, _WEIGHT, initial=_INITIAL)
    # sorted 1, 2, 4, 8 and 0, 1, 3, 5: distances 1, 1, 1, 3; each step 0.1 * 0.5 * 2 / 4 * distance
    expected = torch.tensor([[3.975, 0.975], [1.975, 7.925]])
    torch.testing.assert_close(network.weight.detach(), expected)
    torch.testing.assert_close(network.bias.detach(), torch.tensor([1.05, 0.95]))


def test_parameters_that_have_traded_places_stay() -> None:
    """Their distribution is the initial one, so there is nothing to draw them to."""
    traded = {**_INITIAL, "weight": torch.tensor([[8.0, 4.0], [1.0, 2.0]])}
    method = make("wasserstein_init", wasserstein_strength=100)
    network = step_without_inputs(method, _WEIGHT, initial=traded)
    assert torch.equal(network.weight.detach(), _WEIGHT)


@pytest.mark.parametrize(("masked", "pruned"), [("zero", 0.0), ("freeze", 1.0)])
def test_pruned_weights_take_no_rank(masked: str, pruned: float) -> None:
    masks = {"weight": torch.tensor([[True, False], [True, True]])}
    method = make("wasserstein_init", wasserstein_strength=0.75)
    network = step_without_inputs(method, _WEIGHT, initial=_INITIAL, masks=masks, masked=masked)
    # sorted 2, 4, 8 and 0, 1, 3: distances 2, 3, 5; each step 0.1 * 0.75 * 2 / 3 * distance
    expected = torch.tensor([[3.85, pruned], [1.9, 7.75]])
    torch.testing.assert_close(network.weight.detach(), expected)


def test_wasserstein_init_needs_to_know_the_beginning() -> None:
    with pytest.raises(ValueError, match=r"^initial: must be given"):
        step_without_inputs(make("wasserstein_init"))
