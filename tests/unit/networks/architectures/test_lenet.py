"""LeNet-5: shapes of its maps."""

from __future__ import annotations

import pytest

from raylot.networks import lenet
from tests.unit.networks.architectures.variants import output_shapes


@pytest.mark.parametrize(
    ("size", "shapes"),
    [
        (28, [(6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (400,)]),
        (8, [(6, 8, 8), (6, 4, 4), (16, 4, 4), (16, 2, 2), (64,)]),
        (12, [(6, 12, 12), (6, 6, 6), (16, 2, 2), (16, 1, 1), (16,)]),
        (11, [(6, 11, 11), (6, 6, 6), (16, 6, 6), (16, 3, 3), (144,)]),
    ],
)
def test_shapes_inside_lenet(size: int, shapes: list[tuple[int, ...]]) -> None:
    inside = output_shapes(lenet((1, size, size), 10), (1, size, size))
    names = ["conv1", "pool1", "conv2", "pool2", "flatten"]
    assert [inside[name] for name in names] == shapes
    assert [inside[name] for name in ("hidden1", "hidden2", "output")] == [(120,), (84,), (10,)]
