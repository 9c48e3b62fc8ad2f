"""Overlap of masks whose hidden units may swap their places."""

from __future__ import annotations

import itertools

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch import Tensor, nn

from raylot import networks
from raylot.masks.matching import matched_overlaps
from raylot.masks.overlap import pairwise_overlaps
from raylot.masks.pruning import Masks, full_masks
from raylot.networks.chain import chained_weights

_MLP = ["hidden1.weight", "hidden2.weight", "output.weight"]


def _random(shapes: dict[str, tuple[int, ...]], density: float, seed: int) -> Masks:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(s, generator=generator) < density for name, s in shapes.items()}


def _shuffled(masks: Masks, seed: int) -> Masks:
    """The same subnetwork with the hidden units of each layer in another order."""
    generator = torch.Generator().manual_seed(seed)
    found, order = {}, torch.arange(0)
    for place, (name, mask) in enumerate(masks.items()):
        if place:
            mask = mask.reshape(len(mask), len(order), -1)[:, order].reshape(mask.shape)
        units = len(mask)
        is_last = place == len(masks) - 1
        order = torch.arange(units) if is_last else torch.randperm(units, generator=generator)
        found[name] = mask[order]
    return found


def _whole(masks: list[Masks]) -> list[float]:
    found: list[float] = pairwise_overlaps(masks).query("layer == 'all'")["jaccard"].tolist()
    return found


@given(seed=st.integers(0, 10_000), density=st.floats(0.1, 0.9), units=st.integers(1, 12))
def test_the_order_of_one_hidden_layer_does_not_matter(
    seed: int, density: float, units: int
) -> None:
    masks = _random({"a": (units, 9), "b": (4, units)}, density, seed)
    assert matched_overlaps([masks, _shuffled(masks, seed)], ["a", "b"]) == [1]


@pytest.mark.parametrize(
    "shapes",
    [
        {"a": (20, 64), "b": (20, 20), "c": (10, 20)},
        {"a": (6, 1, 5, 5), "b": (16, 6, 5, 5), "c": (30, 16 * 4), "d": (20, 30), "e": (10, 20)},
        {"a": (8, 3, 3, 3), "b": (16, 8, 3, 3), "c": (16, 16, 3, 3), "d": (10, 16)},
    ],
    ids=["mlp", "lenet", "vgg"],
)
@pytest.mark.parametrize("seed", range(5))
def test_permuted_copies_of_a_deep_mask_are_the_same_mask(
    shapes: dict[str, tuple[int, ...]], seed: int
) -> None:
    masks = _random(shapes, 0.2, seed)
    other = _shuffled(masks, seed)
    assert _whole([masks, other])[0] < 0.5
    assert matched_overlaps([masks, other], list(shapes)) == [1]


@given(seed=st.integers(0, 10_000))
def test_one_hidden_layer_is_matched_as_well_as_any_order_does(seed: int) -> None:
    one, other = (_random({"a": (4, 3), "b": (2, 4)}, 0.5, s) for s in (seed, -seed - 1))
    best = max(
        _whole([one, {"a": other["a"][list(order)], "b": other["b"][:, list(order)]}])[0]
        for order in itertools.permutations(range(4))
    )
    assert matched_overlaps([one, other], ["a", "b"]) == [pytest.approx(best)]


@given(seed=st.integers(0, 10_000))
def test_matching_never_lowers_an_overlap(seed: int) -> None:
    shapes = {"a": (7, 5), "b": (6, 7), "c": (3, 6)}
    masks = [_random(shapes, 0.4, seed + k) for k in range(3)]
    for matched, plain in zip(matched_overlaps(masks, list(shapes)), _whole(masks), strict=True):
        assert plain - 1e-9 <= matched <= 1


def test_masks_of_nothing_are_the_same() -> None:
    nothing: Masks = {"a": torch.zeros(3, 2, dtype=torch.bool), "b": torch.zeros(1, 3).bool()}
    assert matched_overlaps([nothing, nothing], ["a", "b"]) == [1]


class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 6)

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + torch.relu(self.inner(inputs))


@pytest.mark.parametrize(
    ("network", "is_chain"),
    [
        (networks.mlp((1, 8, 8), hidden=(6, 5), classes=10), True),
        (networks.lenet((1, 28, 28), classes=10), True),
        (networks.vgg((1, 8, 8), width=4, classes=10), True),
        (networks.resnet((1, 8, 8), width=4, classes=10), False),
        (nn.Sequential(nn.Linear(6, 6), _Residual(), nn.Linear(6, 2)), False),
        (nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.Flatten(), nn.Linear(8, 2)), False),
        (nn.Sequential(nn.Linear(6, 4), nn.GLU(), nn.Linear(2, 2)), False),
        (networks.mlp((6,), (32,), 2, norm="layer", activation="prelu"), True),
        (networks.mlp((6,), (32,), 2, norm="group"), False),
        (networks.mlp((6,), (5,), 2, activation="crelu"), False),
        (nn.Sequential(nn.Embedding(6, 4), nn.Flatten(), nn.Linear(8, 2)), True),
    ],
    ids=[
        "mlp",
        "lenet",
        "vgg",
        "resnet",
        "residual",
        "groups",
        "gated",
        "norm",
        "norm of groups",
        "concatenated",
        "embedding",
    ],
)
def test_networks_whose_layers_follow_one_another_are_chains(
    network: nn.Module, is_chain: bool
) -> None:
    weights = list(full_masks(network))
    assert chained_weights(network, weights) == (weights if is_chain else [])


def test_a_network_that_is_pruned_in_part_is_no_chain() -> None:
    network = networks.mlp((1, 8, 8), hidden=(6, 5), classes=10)
    assert chained_weights(network, _MLP) == _MLP
    assert chained_weights(network, _MLP[1:]) == []
