"""Permuted pixels by hand; exactly a fraction of them moves."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from raylot.tasks import Task, make_task, permute_pixels
from raylot.tasks.shifts import permuted_pixels
from tests.unit.tasks.shifts.tiny_tasks import (
    few_examples,
    seeds,
    shifted_by,
    some_digits,
    times,
    tiny,
)


def test_pixels_by_hand() -> None:
    task = permute_pixels(tiny(), np.array([3, 0, 1, 2]))
    assert task.train_inputs.tolist() == [
        [[[4, 1], [2, 3]]],
        [[[8, 5], [6, 7]]],
        [[[0, 9], [9, 9]]],
    ]
    assert task.test_inputs.tolist() == [[[[40, 10], [20, 30]]]]
    assert task.train_labels.tolist() == [0, 1, 2]
    assert task.test_labels.tolist() == [1]
    assert (task.classes, task.offset, task.divisor) == (3, 2.0, 4.0)


@pytest.mark.parametrize(
    "wrong", [[0, 1, 2], [0, 1, 2, 3, 4], [0, 0, 1, 2], [1, 2, 3, 4], [-1, 0, 1, 2], [[0, 1, 2, 3]]]
)
def test_wrong_permutations_of_pixels_are_refused(wrong: list[int]) -> None:
    with pytest.raises(ValueError, match="permutation: must hold each of 0 to 3 once"):
        permute_pixels(tiny(), np.array(wrong))


@few_examples
@given(seed=seeds, t=times)
def test_permuted_images_keep_their_pixels(seed: int, t: int) -> None:
    dataset = some_digits()
    task = make_task(dataset, shifted_by("permuted_pixels"), seed, t)
    for split in ("train_inputs", "test_inputs"):
        before, after = getattr(dataset, split), getattr(task, split)
        assert after.shape == before.shape
        assert after.dtype == before.dtype
        assert torch.equal(before.flatten(1).sort(1).values, after.flatten(1).sort(1).values)
    assert torch.equal(task.train_labels, dataset.train_labels)


@given(seed=seeds, t=times, fraction=st.floats(0.01, 1))
def test_both_splits_are_permuted_alike(seed: int, t: int, fraction: float) -> None:
    dataset = tiny()
    task = make_task(dataset, shifted_by("permuted_pixels", fraction=fraction), seed, t)
    # the test image is ten times the first training image
    assert torch.equal(task.test_inputs[0], 10 * task.train_inputs[0])


@pytest.mark.parametrize("fraction", [0.25, 0.5, 1.0])
def test_exactly_a_fraction_of_the_pixels_is_permuted(fraction: float) -> None:
    pixels, tasks = 20, 1000
    identity = torch.arange(pixels)
    dataset = Task(identity[None], identity[:1], identity[None], identity[:1], 2)
    options = shifted_by("permuted_pixels", fraction=fraction)
    moved = torch.stack(
        [make_task(dataset, options, 0, t).test_inputs[0] != identity for t in range(tasks)]
    )
    permuted = round(fraction * pixels)
    assert moved.sum(1).max() == permuted
    # A random permutation leaves one place as it is, on average, with a variance of one.
    assert float(moved.sum(1).double().mean()) == pytest.approx(
        permuted - 1, abs=4 / math.sqrt(tasks)
    )
    chance = (permuted - 1) / pixels
    deviation = math.sqrt(chance * (1 - chance) / tasks)
    assert moved.double().mean(0).numpy() == pytest.approx(chance, abs=4 * deviation)


def test_a_pixel_moves_with_its_channels_and_features_with_their_scale() -> None:
    images = torch.arange(24).view(1, 3, 2, 4)
    colour = Task(images, torch.tensor([0]), images, torch.tensor([0]), 1, offset=(0, 8, 16))
    permutation = [3, 0, 1, 2, 7, 6, 5, 4]
    moved = permute_pixels(colour, np.array(permutation))
    for channel in range(3):
        expected = [8 * channel + pixel for pixel in permutation]
        assert moved.train_inputs[0, channel].flatten().tolist() == expected
    assert moved.offset == (0, 8, 16)
    assert moved.scale(moved.test_inputs)[0].flatten(1).tolist() == [permutation] * 3
    features = Task(
        torch.tensor([[5, 20, 300]]), torch.tensor([0]), torch.tensor([[6, 30, 100]]),
        torch.tensor([0]), 1, offset=(0, 10, 100), divisor=(1, 10, 100),
    )  # fmt: skip
    moved = permute_pixels(features, np.array([2, 0, 1]))
    assert moved.scale(moved.train_inputs).tolist() == [[2, 5, 1]]
    assert moved.scale(moved.test_inputs).tolist() == [[0, 6, 2]]


def test_the_fraction_counts_pixels_of_a_colour_image_once() -> None:
    image = torch.arange(3 * 100).view(1, 3, 10, 10)
    dataset = Task(image, torch.tensor([0]), image, torch.tensor([0]), 1)
    task = make_task(dataset, shifted_by("permuted_pixels", fraction=0.3), 0, 1)
    moved = (task.train_inputs != image).flatten(2)[0]
    assert 20 <= int(moved[0].sum()) <= 30
    assert torch.equal(moved[0], moved[2])


@few_examples
@given(seed=seeds, t=st.integers(0, 30), fraction=st.floats(0.1, 1), is_first=st.booleans())
def test_compounding_permutes_the_task_before(
    seed: int, t: int, fraction: float, is_first: bool
) -> None:
    dataset, own = some_digits(), {"fraction": fraction, "first_task_identity": is_first}
    compounding = shifted_by("permuted_pixels", compounding=True, **own)
    before = make_task(dataset, compounding, seed, t)
    # By itself, task t + 1 draws the permutation that is then applied to the task before.
    expected = make_task(before, shifted_by("permuted_pixels", **own), seed, t + 1)
    found = make_task(dataset, compounding, seed, t + 1)
    assert torch.equal(found.train_inputs, expected.train_inputs)
    assert torch.equal(found.test_inputs, expected.test_inputs)


def test_compounded_tasks_do_not_depend_on_which_were_made_before() -> None:
    """Kept permutations shorten the way to a task, and change none."""
    dataset = some_digits()
    streams = [
        (shifted_by("permuted_pixels", compounding=True, fraction=fraction, **own), seed)
        for fraction in (0.3, 1.0)
        for own in ({}, {"first_task_identity": True})
        for seed in (0, 1)
    ]
    expected = {}
    for i, (options, seed) in enumerate(streams):
        for t in range(6):
            permuted_pixels._compounds.clear()
            expected[i, t] = make_task(dataset, options, seed, t).train_inputs
    for t in (0, 1, 0, 4, 5, 4, 2, 5, 3):
        for i, (options, seed) in enumerate(streams):
            for again in (t, max(0, t - 1), t):
                found = make_task(dataset, options, seed, again).train_inputs
                assert torch.equal(found, expected[i, again])
    for t in (3, 1, 2, 5, 5, 4):
        found = make_task(dataset, streams[0][0], 0, t).train_inputs
        assert torch.equal(found, expected[0, t])


def test_compounding_begins_with_the_first_permutation() -> None:
    plain, compounding = (
        make_task(some_digits(), shifted_by("permuted_pixels", compounding=own), 3, 0)
        for own in (False, True)
    )
    assert torch.equal(plain.train_inputs, compounding.train_inputs)
