"""Spectral regularisation by hand, and against singular values by SVD."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from raylot.config import OptimizerOptions
from tests.support.tasks import small_network
from tests.unit.interventions.trainings import make, step_without_inputs, trained, with_batch_norm


def test_spectral_by_hand() -> None:
    """Only the largest singular value, 3, is drawn to 1, by 2 (3^2 - 1) x 2 x 3 = 96.

    The squared norm of the biases is 2, and its square has gradient 2 x 2 x 2 = 8 in each.
    """
    weight = torch.tensor([[0.0, 1.0], [3.0, 0.0]])
    network = step_without_inputs(make("spectral", spectral_strength=0.01), weight)
    expected = torch.tensor([[0.0, 1.0], [3 - 0.096, 0.0]])
    torch.testing.assert_close(network.weight.detach(), expected)
    torch.testing.assert_close(network.bias.detach(), torch.tensor([1.05 - 0.008, 0.95 - 0.008]))


@pytest.mark.parametrize("power", [1, 2, 3])
def test_a_step_follows_the_published_formula(power: int) -> None:
    """In float64, with singular values by SVD, and with what a norm adds."""
    plain = with_batch_norm()
    for parameter in plain.parameters():  # away from 0, and from gains of 1
        parameter.detach().add_(torch.linspace(0.5, 1, parameter.numel()).view_as(parameter))
    start, regularised = copy.deepcopy(plain), copy.deepcopy(plain)
    step = {
        "epochs": 1, "batch_size": 40, "optimizer": OptimizerOptions(optimizer="sgd", lr=1e-3),
    }  # fmt: skip
    method = make("spectral", spectral_strength=0.5, spectral_exponent=power)
    trained(plain, **step)
    trained(regularised, intervention=method, **step)
    exact = {name: p.detach().double().requires_grad_() for name, p in start.named_parameters()}
    _penalty(exact, power).backward()
    for name, parameter in exact.items():
        difference = (plain.get_parameter(name) - regularised.get_parameter(name)).detach().double()
        assert parameter.grad is not None
        torch.testing.assert_close(difference, 5e-4 * parameter.grad, rtol=1e-3, atol=1e-6)


def _penalty(of: dict[str, Tensor], power: int) -> Tensor:
    penalty = (of["2.weight"] ** power - 1).square().sum()
    for name in ("1.weight", "5.weight"):
        penalty = penalty + (torch.linalg.svdvals(of[name].flatten(1))[0] ** power - 1) ** 2
    for name in ("2.bias", "5.bias"):
        penalty = penalty + torch.linalg.vector_norm(of[name]) ** (2 * power)
    return penalty


@pytest.mark.parametrize("begin", ["drawn", "zero"])
def test_one_iteration_per_step_is_enough_to_bring_all_layers_to_1(begin: str) -> None:
    """Also if a layer has no singular vectors at the start."""
    network = small_network()
    if begin == "zero":
        nn.init.zeros_(network.get_parameter("2.weight"))
    trained(
        network, epochs=100, intervention=make("spectral", spectral_strength=10),
        optimizer=OptimizerOptions(optimizer="sgd", lr=1e-3),
    )  # fmt: skip
    for name, parameter in network.named_parameters():
        if parameter.dim() > 1:
            largest = float(torch.linalg.svdvals(parameter.detach())[0])
            assert largest == pytest.approx(1, abs=0.02), name
