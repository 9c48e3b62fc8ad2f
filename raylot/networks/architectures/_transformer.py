"""Parts of transformers."""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn

from raylot.networks.activations import ACTIVATIONS, copies_of


class Attention(nn.Module):
    """Self-attention with several heads (Vaswani et al. 2017).

    ``output([softmax(Q_h K_h' / sqrt(d)) V_h for each head h])`` of linear layers ``query``,
    ``key``, ``value`` and ``output``, so that each of their weights can be pruned.

    Args:
        dimension: numbers that describe a token, and ``heads`` times d.
        heads: how many heads share the dimension.
    """

    def __init__(self, dimension: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dimension, dimension)
        self.key = nn.Linear(dimension, dimension)
        self.value = nn.Linear(dimension, dimension)
        self.output = nn.Linear(dimension, dimension)

    def forward(self, inputs: Tensor) -> Tensor:
        """Maps ``examples x tokens x dimension`` to the same shape."""
        query, key, value = (
            layer(inputs).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        scores = query @ key.mT / math.sqrt(query.shape[-1])
        outputs: Tensor = self.output((scores.softmax(-1) @ value).transpose(1, 2).flatten(2))
        return outputs


class Block(nn.Module):
    """A transformer block with its norms before attention and perceptron (Dosovitskiy et al. 2021).

    ``y = x + attention(norm1(x))``, then ``y + mlp(norm2(y))``, where the perceptron has one hidden
    layer with four times as many units as the dimension.

    Args:
        dimension, heads: see `Attention`.
        activation: of the perceptron, one of `raylot.networks.activations.ACTIVATIONS`.
    """

    def __init__(self, dimension: int, heads: int, activation: str) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dimension)
        self.attention = Attention(dimension, heads)
        self.norm2 = nn.LayerNorm(dimension)
        units = 4 * dimension
        between = ACTIVATIONS[activation](units, -1)
        self.mlp = nn.Sequential(
            OrderedDict(
                hidden=nn.Linear(dimension, units),
                activation=between,
                output=nn.Linear(units * copies_of(between), dimension),
            )
        )

    def chain(self) -> list[nn.Module]:
        """Returns the modules that follow one another, see `raylot.networks.chain`."""
        return list(self.mlp)

    def forward(self, inputs: Tensor) -> Tensor:
        """Maps ``examples x tokens x dimension`` to the same shape."""
        attended = inputs + self.attention(self.norm1(inputs))
        outputs: Tensor = attended + self.mlp(self.norm2(attended))
        return outputs


class Positions(nn.Module):
    """Adds to each token a vector that is learnt for its place; drawn from N(0, 0.02^2).

    Args:
        tokens: number of places.
        dimension: numbers that describe a token.
    """

    def __init__(self, tokens: int, dimension: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(tokens, dimension))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + self.weight
