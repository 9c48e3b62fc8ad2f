"""Hessian-vector products written out against automatic differentiation."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from raylot.plasticity.dense_hessian import dense_hessian

_INPUTS = torch.randn(20, 2, 3, generator=torch.Generator().manual_seed(0)).double()
_LABELS = torch.arange(20) % 3


@pytest.mark.parametrize("widths", [(6, 3), (6, 5, 3), (6, 5, 4, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_agrees_with_differentiating_twice(widths: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    modules: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in itertools.pairwise(widths):
        modules += [nn.Linear(inputs, outputs, bias=bias), nn.ReLU()]
    network = nn.Sequential(*modules[:-1]).double()
    parameters = list(network.parameters())
    product = dense_hessian(network, _INPUTS, _LABELS)
    assert product is not None
    direction = [torch.randn_like(p) for p in parameters]
    loss = F.cross_entropy(network(_INPUTS), _LABELS)
    first = torch.autograd.grad(loss, parameters, create_graph=True)
    expected = torch.autograd.grad(first, parameters, direction)
    for found, part in zip(product(direction), expected, strict=True):
        assert torch.allclose(found, part, rtol=1e-10, atol=1e-14)


def test_other_networks_and_frozen_ones_are_refused() -> None:
    frozen = nn.Linear(6, 3)
    frozen.bias.requires_grad_(False)
    for layers in (
        [nn.Flatten(), nn.Linear(6, 3), nn.ReLU()],
        [nn.Flatten(), nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)],
        [nn.Flatten(), nn.Linear(6, 4), nn.Linear(4, 3)],
        [nn.Flatten(), frozen],
        [nn.Linear(3, 3)],  # on a matrix per example
    ):
        assert dense_hessian(nn.Sequential(*layers), _INPUTS.float(), _LABELS) is None
