"""Degree-preserving shuffles: what they keep, and that they draw evenly from what is left."""

from __future__ import annotations

from collections import Counter

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from scipy import stats

from raylot.foundation.randomness import RandomKey
from raylot.masks.pruning import Masks
from raylot.masks.rewiring import rewired_masks


def _random(shape: tuple[int, ...], density: float, seed: int) -> Masks:
    return {"w": torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < density}


@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.integers(1, 3)),
    density=st.floats(0, 1),
    seed=st.integers(0, 10_000),
)
def test_every_channel_keeps_its_connections_at_each_position(
    shape: tuple[int, ...], density: float, seed: int
) -> None:
    (before,), (after,) = (
        masks.values()
        for masks in (_random(shape, density, seed), rewired_masks(_random(shape, density, seed),
                                                                   RandomKey((seed,))))
    )  # fmt: skip
    assert after.shape == before.shape
    assert torch.equal(after.sum((1, 2, 3)), before.sum((1, 2, 3)))
    assert torch.equal(after.sum(0), before.sum(0))


def test_tables_of_the_same_margins_are_drawn_equally_often() -> None:
    """By hand: a 3 x 4 table with rows of 1, 1, 2 and columns of 1 has 12 fillings."""
    table = torch.tensor([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1]], dtype=torch.bool)
    seen = Counter(
        tuple(rewired_masks({"w": table}, RandomKey((k,)))["w"].flatten().tolist())
        for k in range(1200)
    )
    assert len(seen) == 12
    assert stats.chisquare([*seen.values()]).pvalue > 1e-4


@pytest.mark.parametrize("shape", [(64, 64), (10, 64), (64, 10), (16, 1, 3, 3)])
def test_where_a_mask_began_is_forgotten(shape: tuple[int, ...]) -> None:
    """Mean overlap with the original is that of two draws far apart."""
    masks = _random(shape, 0.3, 0)
    drawn = [rewired_masks(masks, RandomKey((k,)))["w"] for k in range(40)]
    again = [rewired_masks({"w": one}, RandomKey((k, "again")))["w"] for k, one in enumerate(drawn)]

    def shared(others: list[torch.Tensor]) -> float:
        return float(np.mean([int((masks["w"] & one).sum()) for one in others]))

    assert shared(drawn) < 0.6 * int(masks["w"].sum())
    assert shared(drawn) == pytest.approx(shared(again), rel=0.05)


def test_units_keep_degrees_that_random_masks_of_the_layer_do_not() -> None:
    mask = torch.zeros(20, 30, dtype=torch.bool)
    mask[:5] = True  # a quarter of the units have all connections
    mask[5:, ::7] = True
    after = rewired_masks({"w": mask}, RandomKey((0,)))["w"]
    assert torch.equal(after[:5], mask[:5]), "no other table has such rows"


def test_the_key_and_the_layers_name_decide() -> None:
    one = _random((12, 12), 0.4, 0)["w"]
    found = rewired_masks({"a": one, "b": one}, RandomKey((0,)))
    assert torch.equal(rewired_masks({"a": one}, RandomKey((0,)))["a"], found["a"])
    assert not torch.equal(found["a"], found["b"])
    assert not torch.equal(rewired_masks({"a": one}, RandomKey((1,)))["a"], found["a"])
