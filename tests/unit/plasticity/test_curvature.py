"""Sharpness against Hessians worked out by hand, and eigenvalues of the whole matrix."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.functional import hessian
from torch.func import functional_call
from torch.nn import functional as F

from raylot.foundation.randomness import RandomKey
from raylot.plasticity.curvature import sharpness
from tests.support.tasks import small_network

_KEY = RandomKey((0, "sharpness"))
_INPUTS = torch.randn(30, 6, generator=torch.Generator().manual_seed(0))
_LABELS = torch.arange(30) % 3


def _eigenvalues(network: nn.Module, masks: dict[str, Tensor] | None = None) -> Tensor:
    """All eigenvalues of the (live block of the) Hessian, by magnitude."""
    parameters = dict(network.named_parameters())
    sizes = [p.numel() for p in parameters.values()]
    shapes = [p.shape for p in parameters.values()]

    def loss(vector: Tensor) -> Any:
        parts = [v.view(s) for v, s in zip(vector.split(sizes), shapes, strict=True)]
        state = dict(zip(parameters, parts, strict=True))
        return F.cross_entropy(functional_call(network, state, (_INPUTS,)), _LABELS)

    start = torch.cat([p.detach().flatten() for p in parameters.values()])
    matrix: Any = hessian(loss, start)
    live = torch.cat(
        [(masks or {}).get(n, torch.ones_like(p).bool()).flatten() for n, p in parameters.items()]
    )
    values: Tensor = torch.linalg.eigvalsh(matrix[live][:, live].double())
    return values[values.abs().argsort(descending=True)]


def _sharpness(network: nn.Module, iterations: int, **options: Any) -> float:
    loss = F.cross_entropy(network(_INPUTS), _LABELS)
    return sharpness(loss, dict(network.named_parameters()), iterations, _KEY, **options)


@pytest.mark.parametrize("sign", [1, -1])
def test_of_a_quadratic_it_is_the_eigenvalue_largest_by_magnitude(sign: int) -> None:
    # Hessian diag(2, -10) in one tensor and 3 in another
    x, y = torch.tensor([0.3, 0.7], requires_grad=True), torch.tensor(0.1, requires_grad=True)
    loss = sign * (x[0] ** 2 - 5 * x[1] ** 2 + 1.5 * y**2)
    assert sharpness(loss, {"x": x, "y": y}, 40, _KEY) == pytest.approx(-10 * sign)


def test_agrees_with_the_whole_hessian() -> None:
    network = small_network()
    expected = _eigenvalues(network)
    assert _sharpness(network, 200) == pytest.approx(float(expected[0]), rel=1e-3)


def test_of_logistic_regression_by_hand() -> None:
    """At weight 0 both probabilities are 1/2: H = x^2 p (1 - p) (1, -1)(1, -1)', so x^2 / 2."""
    network = nn.Linear(1, 2, bias=False)
    nn.init.zeros_(network.weight)
    loss = F.cross_entropy(network(torch.tensor([[3.0]])), torch.tensor([0]))
    assert sharpness(loss, {"weight": network.weight}, 10, _KEY) == pytest.approx(4.5)


def test_of_a_masked_network_it_is_that_of_the_live_block() -> None:
    network = small_network()
    generator = torch.Generator().manual_seed(3)
    masks = {
        name: torch.rand(network.get_parameter(name).shape, generator=generator) < 0.3
        for name in ("0.weight", "2.weight")
    }
    expected = float(_eigenvalues(network, masks)[0])
    assert _sharpness(network, 300, masks=masks) == pytest.approx(expected, rel=1e-3)
    assert expected < 0.9 * float(_eigenvalues(network)[0])


def test_the_key_decides_the_start() -> None:
    network = small_network()
    assert _sharpness(network, 1) == _sharpness(network, 1)
    loss = F.cross_entropy(network(_INPUTS), _LABELS)
    other = sharpness(loss, dict(network.named_parameters()), 1, RandomKey((1,)))
    assert other != _sharpness(network, 1)


def test_no_curvature_is_0() -> None:
    x, unused = torch.ones(3, requires_grad=True), torch.ones(2, requires_grad=True)
    assert sharpness(x.sum(), {"x": x, "unused": unused}, 5, _KEY) == 0
    assert sharpness((0 * x * x).sum(), {"x": x}, 5, _KEY) == 0
    nothing_lives = {"x": torch.zeros(3, dtype=torch.bool)}
    assert sharpness(x.square().sum(), {"x": x}, 5, _KEY, nothing_lives) == 0


def test_curvature_that_is_not_finite_is_nan() -> None:
    x = torch.tensor([1.0, math.nan], requires_grad=True)
    assert math.isnan(sharpness((x**3).sum(), {"x": x}, 3, _KEY))
