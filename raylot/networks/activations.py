"""Activation functions that networks can have, as modules that metrics can observe.

A module that puts out several numbers for each unit has an attribute ``copies`` that says how many:
entry ``i + k * units`` of its output is the k-th number of unit i. All others have no such
attribute, and put out one number for each unit.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CReLU(nn.Module):
    """Concatenated ReLU: [ReLU(z); ReLU(-z)] along the units (Shang et al. 2016).

    The next layer has twice as many inputs. No unit can die, as one of its halves puts out |z|;
    Abbas et al. 2023 ("Loss of plasticity in continual deep reinforcement learning") keep
    plasticity by that.

    Args:
        dim: the dimension of units: 1 in ``examples x units x ...``, -1 in sequences.
    """

    copies = 2

    def __init__(self, dim: int = 1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.cat((inputs, -inputs), self.dim).relu()


class Fourier(nn.Module):
    """Deep Fourier features: [sin z; cos z] along the units (Lewandowski et al. 2024).

    arXiv 2410.20634, "Plastic learning with deep Fourier features". At any z one of the two is
    close to linear in z. The next layer has twice as many inputs.

    Args:
        dim: see `CReLU`.
    """

    copies = 2

    def __init__(self, dim: int = 1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.cat((inputs.sin(), inputs.cos()), self.dim)


class PReLU(nn.Module):
    """max(z, 0) + a_i min(z, 0) with a leak a_i of each unit that is learnt (He et al. 2015).

    A leak starts at 0.25, as in He et al. and in PyTorch. AdaLin (Rohani et al. 2025, arXiv
    2505.09486) adds a_i z where a unit's ReLU has no slope, and thus is this function; the start
    of its a_i could not be looked up, and may differ.

    Args:
        units: how many units there are.
        dim: see `CReLU`.
    """

    def __init__(self, units: int, dim: int = 1) -> None:
        super().__init__()
        self.dim = dim
        self.weight = nn.Parameter(torch.empty(units))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.constant_(self.weight, 0.25)

    def forward(self, inputs: Tensor) -> Tensor:
        if self.dim == 1:
            return F.prelu(inputs, self.weight)
        return F.prelu(inputs.flatten(0, -2), self.weight).view_as(inputs)


#: Name in `raylot.config.NetworkOptions` -> makes the module for a number of units, and for the
#: dimension in which they are.
ACTIVATIONS: dict[str, Callable[[int, int], nn.Module]] = {
    "relu": lambda units, dim: nn.ReLU(),
    "leaky_relu": lambda units, dim: nn.LeakyReLU(),
    "elu": lambda units, dim: nn.ELU(),
    "gelu": lambda units, dim: nn.GELU(),
    "silu": lambda units, dim: nn.SiLU(),
    "tanh": lambda units, dim: nn.Tanh(),
    "crelu": lambda units, dim: CReLU(dim),
    "fourier": lambda units, dim: Fourier(dim),
    "prelu": PReLU,
}


def copies_of(activation: nn.Module) -> int:
    """Returns how many numbers a module puts out for each unit."""
    copies: int = getattr(activation, "copies", 1)
    return copies
