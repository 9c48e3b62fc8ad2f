"""Distances between masks, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from raylot.masks.distance import MaskWatch, chance_hamming, distances_over_training, hamming
from raylot.training import Masks
from tests.support.tasks import small_network


def _mask(text: str) -> Masks:
    bits = torch.tensor([letter == "1" for letter in text])
    return {"a": bits[:2], "b": bits[2:].view(-1, 1)}


def test_the_distance_is_the_share_of_weights_in_one_mask_alone() -> None:
    assert hamming(_mask("11110"), _mask("11101")) == 2 / 5
    assert hamming(_mask("10101"), _mask("10101")) == 0
    assert hamming(_mask("11111"), _mask("00000")) == 1


def test_the_chance_level_is_the_mean_over_random_masks() -> None:
    # layer a: one of 2 in both, different with 1/2 each; layer b: one of 3 and two of 3
    found = chance_hamming(_mask("10100"), _mask("01011"))
    assert found == pytest.approx((2 * 1 / 2 + 3 * (1 / 3 * 1 / 3 + 2 / 3 * 2 / 3)) / 5)
    generator, drawn = np.random.default_rng(0), []
    for _ in range(4000):
        a = [*generator.permutation([1, 0]), *generator.permutation([1, 0, 0])]
        b = [*generator.permutation([1, 0]), *generator.permutation([1, 1, 0])]
        drawn.append(np.mean(np.array(a) != np.array(b)))
    assert found == pytest.approx(np.mean(drawn), abs=0.02)
    same = {"all": torch.arange(100) < 30}
    assert chance_hamming(same, same) == pytest.approx(2 * 0.3 * 0.7)


def test_each_epoch_is_compared_with_the_one_before_and_with_the_last() -> None:
    masks = [_mask(text) for text in ("11000", "10100", "10010", "10010")]
    rows = distances_over_training(masks)
    found = {(row["compared_with"], row["epoch"]): row["distance"] for row in rows}
    assert found == {
        ("before", 1): 2 / 5, ("before", 2): 2 / 5, ("before", 3): 0,
        ("final", 0): 2 / 5, ("final", 1): 2 / 5, ("final", 2): 0,
    }  # fmt: skip


def test_a_watch_keeps_the_largest_magnitudes_at_each_sparsity_in_both_scopes() -> None:
    network = small_network()
    assert isinstance(network, nn.Sequential)
    watch = MaskWatch(network, None, (0.5, 0.75))
    before = {n: p.detach().clone() for n, p in network.named_parameters() if p.ndim > 1}
    with torch.no_grad():
        network[2].weight *= 0.01
    assert watch(network) is False
    assert len(watch.masks) == 4
    for (sparsity, scope), drawn in watch.masks.items():
        first, after = drawn
        sizes = {name: w.abs().numpy() for name, w in before.items()}
        for masks, factor in ((first, 1.0), (after, 0.01)):
            sizes["2.weight"] = before["2.weight"].abs().numpy() * factor
            pooled = np.concatenate([one.ravel() for one in sizes.values()])
            for name, size in sizes.items():
                among = pooled if scope == "global" else size.ravel()
                kept = round(len(among) * (1 - sparsity))
                smallest = np.sort(among)[len(among) - kept]
                np.testing.assert_array_equal(masks[name].numpy(), size >= smallest)
        moved = hamming(first, after)
        assert moved > 0 if scope == "global" else moved == 0
