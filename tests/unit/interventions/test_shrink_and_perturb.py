"""Shrink and perturb: a weighted sum, and a geometric series."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.support.tasks import small_network
from tests.unit.interventions.trainings import KEY, STANDING_STILL, make, trained, with_batch_norm
from tests.unit.training.networks import vector


def _perturbed(shrink: float, perturb: float, *, seed: int = 0, **arguments: Any) -> Tensor:
    every = arguments.pop("every", "task")
    network = small_network(seed=seed)
    method = make("shrink_and_perturb", shrink=shrink, perturb=perturb, perturb_every=every)
    trained(network, intervention=method, **{"whole_task": True, **arguments})
    return vector(network)


def test_shrink_and_perturb_after_a_task() -> None:
    """shrink x trained + perturb x fresh, where fresh is what shrink 0 and perturb 1 leave."""
    plainly = small_network()
    plain = trained(plainly)
    fresh = _perturbed(0, 1)
    torch.testing.assert_close(_perturbed(0.75, 0.5), 0.75 * vector(plainly) + 0.5 * fresh)
    measured = trained(small_network(), intervention=make("shrink_and_perturb"), whole_task=True)
    assert measured.test_loss == plain.test_loss  # evaluated before


def test_what_perturbs_is_an_initialisation_that_the_key_alone_decides() -> None:
    fresh = _perturbed(0, 1)
    assert torch.equal(fresh, _perturbed(0, 1))
    assert torch.equal(fresh, _perturbed(0, 1, seed=7))
    assert not torch.equal(fresh, _perturbed(0, 1, key=KEY.child("next task")))
    # PyTorch draws uniformly from +-1/sqrt(inputs): 6 x 8 weights and 8 biases, then 8 x 3 and 3
    first, second = fresh[:56] * 6**0.5, fresh[56:] * 8**0.5
    for part in (first, second):
        assert 0.5 < part.abs().max() <= 1
        assert part.abs().mean() == pytest.approx(0.5, abs=0.15)


def test_shrink_and_perturb_after_each_step_is_a_geometric_series() -> None:
    """w_n = shrink^n w_0 + perturb x sum over i of shrink^(n - i) fresh_i."""
    start = vector(small_network())
    arguments: dict[str, Any] = {"optimizer": STANDING_STILL, "every": "step"}
    fresh = [_perturbed(0, 1, max_steps=i, **arguments) for i in (1, 2, 3)]
    assert len({tuple(f.tolist()) for f in fresh}) == 3
    expected = 0.5**3 * start + 0.1 * (0.25 * fresh[0] + 0.5 * fresh[1] + fresh[2])
    torch.testing.assert_close(_perturbed(0.5, 0.1, max_steps=3, **arguments), expected)
    torch.testing.assert_close(_perturbed(0.5, 0, **arguments), 0.5**6 * start)


def test_batch_norm_is_shrunk_and_perturbed_as_other_parameters_but_its_statistics_stay() -> None:
    plain, perturbed = with_batch_norm(), with_batch_norm()
    trained(plain)
    trained(perturbed, whole_task=True,
           intervention=make("shrink_and_perturb", shrink=0.5, perturb=0.1))  # fmt: skip
    gain, bias = plain.get_parameter("2.weight"), plain.get_parameter("2.bias")
    torch.testing.assert_close(perturbed.get_parameter("2.weight"), 0.5 * gain + 0.1)
    torch.testing.assert_close(perturbed.get_parameter("2.bias"), 0.5 * bias)
    for before, after in zip(plain.buffers(), perturbed.buffers(), strict=True):
        assert torch.equal(before, after)


def test_towards_the_initial_parameters() -> None:
    """FIRE's form with c = 0.75: a quarter of what was trained, three of what the stream had."""
    plainly, initial, network = small_network(), small_network(seed=5), small_network()
    trained(plainly)
    method = make("shrink_and_perturb", shrink=0.25, perturb=0.75, perturb_with="initial")
    trained(network, intervention=method, initial=initial.state_dict(), whole_task=True)
    torch.testing.assert_close(vector(network), 0.25 * vector(plainly) + 0.75 * vector(initial))


def test_noise_in_each_step() -> None:
    """Dohare's form: biases too move by 0.01 x N(0, 1), drawn by the key in each of two steps."""
    network = small_network()
    method = make(
        "shrink_and_perturb", shrink=1.0, perturb=0.01, perturb_every="step", perturb_with="noise"
    )
    trained(network, intervention=method, optimizer=STANDING_STILL, max_steps=2)
    start = vector(small_network())
    noise = torch.zeros_like(start)
    for step in (1, 2):
        seed = KEY.child("intervention", "perturb", step).torch_seed()
        noise += torch.randn(start.shape, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(vector(network), start + 0.01 * noise)


@pytest.mark.parametrize("added", ["initial", "noise"])
def test_only_a_fresh_initialisation_needs_a_network_that_can_be_drawn_anew(added: str) -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.ones(6))

        def forward(self, inputs: Tensor) -> Tensor:
            return inputs * self.gain

    network = nn.Sequential(Scale(), *small_network())  # type: ignore[misc]
    method = make("shrink_and_perturb", perturb_with=added, perturb=0.5)
    trained(network, intervention=method, initial=network.state_dict(), whole_task=True)
    assert not torch.equal(network[0].gain, torch.ones(6))
