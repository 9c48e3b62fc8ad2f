"""Rotations by hand; angles are uniform."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from raylot.foundation.errors import OptionError
from raylot.tasks import make_task, rotate
from tests.unit.tasks.shifts.tiny_tasks import equal, pictures, shifted_by, some_digits, tiny


@pytest.mark.parametrize(
    ("degrees", "first", "test"),
    [
        (0, [[1, 2], [3, 4]], [[10, 20], [30, 40]]),
        (90, [[2, 4], [1, 3]], [[20, 40], [10, 30]]),
        (180, [[4, 3], [2, 1]], [[40, 30], [20, 10]]),
        (270, [[3, 1], [4, 2]], [[30, 10], [40, 20]]),
        (360, [[1, 2], [3, 4]], [[10, 20], [30, 40]]),
        (-90, [[3, 1], [4, 2]], [[30, 10], [40, 20]]),
    ],
)
def test_right_angles_by_hand(degrees: float, first: list[Any], test: list[Any]) -> None:
    task = rotate(tiny(), degrees)
    assert task.train_inputs[0].tolist() == [first]
    assert task.test_inputs[0].tolist() == [test]
    assert task.train_labels.tolist() == [0, 1, 2]
    assert (task.classes, task.offset, task.divisor) == (3, 2.0, 4.0)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_rotated_dot_by_hand(dtype: torch.dtype) -> None:
    image = torch.zeros(1, 1, 3, 3, dtype=dtype)
    image[..., 1, 1] = 100
    rotated = rotate(pictures(image), 45).train_inputs
    # What is beside the centre comes from a place 1/sqrt(2) from it along both axes.
    beside = 100 * (1 - 1 / math.sqrt(2)) ** 2  # 8.58
    beside = beside if dtype.is_floating_point else 9
    expected = [[0, beside, 0], [beside, 100, beside], [0, beside, 0]]
    assert rotated.dtype == dtype
    assert rotated[0, 0].numpy() == pytest.approx(np.array(expected), abs=1e-4)


def test_what_comes_in_from_outside_is_zero() -> None:
    rotated = rotate(pictures(torch.full((1, 9, 9), 7)), 45).train_inputs[0]
    assert [int(rotated[i, j]) for i in (0, -1) for j in (0, -1)] == [0, 0, 0, 0]
    assert (rotated[2:-2, 2:-2] == 7).all()


def test_all_channels_are_rotated_alike() -> None:
    images = torch.rand(4, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    together = rotate(pictures(images), 33).train_inputs
    for channel in range(3):
        alone = rotate(pictures(images[:, channel]), 33).train_inputs
        assert torch.allclose(together[:, channel], alone)


def test_rotation_does_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = rotate(some_digits(), 33)
    monkeypatch.setattr("raylot.tasks.shifts.rotation.IMAGES_PER_BLOCK", 7)
    assert equal(rotate(some_digits(), 33), whole)


def test_only_images_can_be_rotated() -> None:
    table = replace(tiny(), train_inputs=torch.zeros(3, 5), test_inputs=torch.zeros(1, 5))
    with pytest.raises(OptionError, match=r"shift=rotation: must be another .* shape \(5,\)"):
        make_task(table, shifted_by("rotation"), 0, 0)


@pytest.mark.parametrize("rotation_range", [90.0, 360.0])
def test_angles_are_uniform_in_their_range(rotation_range: float) -> None:
    # x of a ramp along x, measured from the centre: bilinear interpolation is exact on it, so one
    # pixel right of the centre of the rotated image is cos(angle), one above it sin(angle).
    ramp = torch.arange(-2.0, 3.0).expand(1, 5, 5)
    dataset = pictures(ramp)
    options = shifted_by("rotation", rotation_range=rotation_range)
    angles = []
    for t in range(500):
        image = make_task(dataset, options, 0, t).train_inputs[0]
        right, above = float(image[2, 3]), float(image[1, 2])
        assert math.hypot(right, above) == pytest.approx(1, abs=1e-4)
        angles.append(math.degrees(math.atan2(above, right)) % 360)
    assert max(angles) < rotation_range
    counts, _ = np.histogram(angles, bins=5, range=(0, rotation_range))
    # 100 expected in each fifth, with a standard deviation of sqrt(500 * 0.2 * 0.8) = 9
    assert counts == pytest.approx(100, abs=4 * 9)
