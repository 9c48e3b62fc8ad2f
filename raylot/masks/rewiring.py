"""Masks that keep each unit's number of connections and are random otherwise."""

from __future__ import annotations

import numpy as np
import torch

from raylot.foundation.randomness import RandomKey
from raylot.training import Masks

#: In each round every row trades with one other. Carstens et al. 2018 find that few rounds forget
#: where they began.
_ROUNDS = 30


def rewired_masks(masks: Masks, key: RandomKey) -> Masks:
    """Returns masks in which each unit has as many connections as before, but others.

    Each layer's mask is a table of ``outputs x inputs``, in which every row and every column keeps
    its number of survivors: each unit its in-degree and its out-degree. Many trades between rows
    draw it evenly from all such tables (the curveball algorithm, Strona et al. 2014; all rows trade
    at once, Carstens et al. 2018). A kernel of a convolution is unrolled: the table has a column
    for each input channel and position, so that a channel's connections keep their positions too.
    In a grouped convolution, a column stands for one input channel of each group.

    Args:
        masks: of the layers, ``outputs x inputs [x positions]``.
        key: decides the draws.
    """
    return {
        name: torch.from_numpy(_rewired(mask.flatten(1).cpu().numpy(), key.child(name)))
        .view(mask.shape)
        .to(mask.device)
        for name, mask in masks.items()
    }


def _rewired(table: np.ndarray, key: RandomKey) -> np.ndarray:
    """Rewires a boolean table; its shorter side trades, as columns may do it just as well."""
    if table.shape[0] > table.shape[1]:
        return np.ascontiguousarray(_rewired(table.T, key).T)
    generator, table = key.generator(), table.copy()
    for _ in range(_ROUNDS):
        pairs = generator.permutation(len(table))[: len(table) // 2 * 2].reshape(2, -1)
        one, other = table[pairs]
        table[pairs[0]], table[pairs[1]] = _traded(one, other, generator)
    return table


def _traded(
    a: np.ndarray, b: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Deals what just one row of each pair has, at random; each row keeps its number."""
    single = a ^ b
    draws = np.where(single, generator.random(a.shape, dtype=np.float32), 2)  # others come last
    place = draws.argsort(axis=1).argsort(axis=1)
    dealt = place < (a & single).sum(axis=1, keepdims=True)
    both = a & b
    return both | dealt, both | (single & ~dealt)
