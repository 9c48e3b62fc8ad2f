"""Permutations by hand; task t depends on data, options, seed and t alone."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from raylot.config import ShiftOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.names import BUILT_IN
from raylot.foundation.randomness import RandomKey
from raylot.tasks import (
    Task,
    add_noise,
    load_dataset,
    make_task,
    permute_labels,
    permute_pixels,
    randomize_labels,
    rotate,
    select_classes,
    shifts,
)
from raylot.tasks.shifts import SHIFTS

seeds = st.integers(0, 2**63 - 1)
times = st.integers(0, 10**6)
#: What costs milliseconds per example.
few_examples = settings(max_examples=20)

WITH_FIRST_TASK_IDENTITY = ["permuted_pixels", "rotation", "permuted_labels", "random_labels"]


def shifted_by(shift: str, **values: Any) -> ShiftOptions:
    return ShiftOptions.checked(shift=shift, **values)


def tiny() -> Task:
    """Three training images and one test image of 2x2 pixels, in 3 classes."""
    return Task(
        train_inputs=torch.tensor([[[[1, 2], [3, 4]]], [[[5, 6], [7, 8]]], [[[9, 9], [9, 0]]]]),
        train_labels=torch.tensor([0, 1, 2]),
        test_inputs=torch.tensor([[[[10, 20], [30, 40]]]]),
        test_labels=torch.tensor([1]),
        classes=3,
        offset=2.0,
        divisor=4.0,
    )


def balanced() -> Task:
    """The same with all three classes in the test split."""
    images, labels = tiny().train_inputs, tiny().train_labels
    return replace(tiny(), test_inputs=10 * images, test_labels=labels)


def pictures(images: Tensor) -> Task:
    """Images of one class, the same in both splits."""
    labels = torch.zeros(len(images), dtype=torch.int64)
    return Task(images, labels, images, labels, 1)


def some_digits() -> Task:
    """The first images of each split of the digits."""
    return first_examples(load_dataset("digits"), 50)


def first_examples(task: Task, count: int) -> Task:
    return replace(
        task,
        train_inputs=task.train_inputs[:count],
        train_labels=task.train_labels[:count],
        test_inputs=task.test_inputs[:count],
        test_labels=task.test_labels[:count],
    )


def labelled(labels: Tensor, classes: int) -> Task:
    """Inputs of one pixel that tell the original label."""
    return Task(labels[:, None], labels, labels[:, None], labels, classes)


def black_and_white(images: int, pixels: int) -> Task:
    """Floating-point images of zeros and ones, in which every noisy pixel is seen."""
    inputs = torch.arange(images * pixels).view(images, pixels).remainder(2).float()
    labels = torch.zeros(images, dtype=torch.int64)
    return Task(inputs, labels, inputs[: images // 2], labels[: images // 2], 2)


def equal(a: Task, b: Task) -> bool:
    """Whether two tasks are the same, image by image and label by label."""
    tensors = ("train_inputs", "train_labels", "test_inputs", "test_labels")
    scales = (a.classes, a.offset, a.divisor) == (b.classes, b.offset, b.divisor)
    return scales and all(torch.equal(getattr(a, name), getattr(b, name)) for name in tensors)


# ------------------------------------------------------------------ by hand


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


def test_labels_by_hand() -> None:
    task = permute_labels(tiny(), torch.tensor([2, 0, 1]))
    assert task.train_labels.tolist() == [2, 0, 1]
    assert task.test_labels.tolist() == [0]
    assert torch.equal(task.train_inputs, tiny().train_inputs)
    assert torch.equal(task.test_inputs, tiny().test_inputs)
    assert (task.classes, task.offset, task.divisor) == (3, 2.0, 4.0)


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
    monkeypatch.setattr(shifts, "IMAGES_PER_BLOCK", 7)
    assert equal(rotate(some_digits(), 33), whole)


def test_selected_classes_by_hand() -> None:
    task = select_classes(tiny(), [2, 1])
    assert torch.equal(task.train_inputs, tiny().train_inputs[1:])
    assert task.train_labels.tolist() == [1, 0]
    assert torch.equal(task.test_inputs, tiny().test_inputs)
    assert task.test_labels.tolist() == [1]
    assert (task.classes, task.offset, task.divisor) == (2, 2.0, 4.0)
    with pytest.raises(OptionError, match=r"classes \[0\]: must have training and test examples"):
        select_classes(tiny(), [0])


def test_the_identity_changes_nothing() -> None:
    assert equal(permute_pixels(tiny(), np.arange(4)), tiny())
    assert equal(permute_labels(tiny(), np.arange(3)), tiny())
    assert equal(select_classes(tiny(), [0, 1, 2]), tiny())
    assert equal(add_noise(tiny(), 0.0, RandomKey((0,))), tiny())


@pytest.mark.parametrize(
    "wrong", [[0, 1, 2], [0, 1, 2, 3, 4], [0, 0, 1, 2], [1, 2, 3, 4], [-1, 0, 1, 2], [[0, 1, 2, 3]]]
)
def test_wrong_permutations_of_pixels_are_refused(wrong: list[int]) -> None:
    with pytest.raises(ValueError, match="permutation: must hold each of 0 to 3 once"):
        permute_pixels(tiny(), np.array(wrong))


@pytest.mark.parametrize("wrong", [[0, 1], [0, 1, 2, 3], [0, 0, 1], [1, 2, 3], [-1, 0, 1]])
def test_wrong_permutations_of_labels_are_refused(wrong: list[int]) -> None:
    with pytest.raises(ValueError, match="permutation: must hold each of 0 to 2 once"):
        permute_labels(tiny(), np.array(wrong))


def test_only_images_can_be_rotated() -> None:
    table = replace(tiny(), train_inputs=torch.zeros(3, 5), test_inputs=torch.zeros(1, 5))
    with pytest.raises(OptionError, match=r"shift=rotation: must be another .* shape \(5,\)"):
        make_task(table, shifted_by("rotation"), 0, 0)


def test_more_classes_than_there_are_cannot_be_split_off() -> None:
    with pytest.raises(OptionError, match="classes_per_task=4: must be at most 3"):
        make_task(tiny(), shifted_by("class_split", classes_per_task=4), 0, 0)


# ------------------------------------------------------------------ streams


def test_every_shift_type_is_there() -> None:
    assert sorted(SHIFTS) == sorted(BUILT_IN["shift"])


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_task_is_the_same_in_any_order_and_alone(shift: str) -> None:
    dataset, options = load_dataset("digits"), shifted_by(shift)
    forwards = [make_task(dataset, options, 7, t) for t in range(5)]
    np.random.seed(0)  # global generators must not matter
    torch.manual_seed(0)
    backwards = [make_task(dataset, options, 7, t) for t in reversed(range(5))]
    torch.rand(10)
    alone = make_task(dataset, options, 7, 3)
    assert all(map(equal, forwards, reversed(backwards)))
    assert equal(alone, forwards[3])


@pytest.mark.parametrize("shift", SHIFTS)
@few_examples
@given(seed=seeds, t=times)
def test_a_task_depends_on_seed_and_t_alone(shift: str, seed: int, t: int) -> None:
    options = shifted_by(shift)
    task = make_task(balanced(), options, seed, t)
    key = RandomKey((seed, "shift", shift))
    assert equal(task, make_task(balanced(), options, seed, t))
    assert equal(task, SHIFTS[shift](balanced(), options, key, t))


@pytest.mark.parametrize("shift", sorted(set(SHIFTS) - {"stationary", "class_split"}))
def test_tasks_differ_along_the_stream_and_between_seeds(shift: str) -> None:
    dataset, options = load_dataset("digits"), shifted_by(shift)
    first = 1 if shift == "noise" else 0  # else task 0 is shifted too
    times = range(first, first + 4)
    seeds = (0, 1, 3)  # seed 2 begins with a rotation by 359.7 degrees, too few for 8x8 pixels
    tasks = [make_task(dataset, options, seed, t) for seed in seeds for t in times]
    assert not any(equal(dataset, task) for task in tasks)
    for i, task in enumerate(tasks):
        assert not any(equal(task, other) for other in tasks[:i])


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("t", [0, 3, 100])
def test_the_data_set_stays_as_it_was(shift: str, t: int) -> None:
    dataset = balanced()
    make_task(dataset, shifted_by(shift), 0, t)
    assert equal(dataset, balanced())


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(3, 4, 5), (6, 4), (7,)])
@pytest.mark.parametrize("shift", SHIFTS)
def test_any_inputs_keep_their_shape_and_type(
    shift: str, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    if shift == "rotation" and len(shape) == 1:
        return
    inputs = torch.arange(20 * math.prod(shape)).remainder(200).view(20, *shape).to(dtype)
    labels = torch.arange(20).remainder(5)
    dataset = Task(inputs[:15], labels[:15], inputs[15:], labels[15:], 5)
    task = make_task(dataset, shifted_by(shift), 0, 4)
    assert task.train_inputs.dtype == task.test_inputs.dtype == dtype
    assert task.train_inputs.shape[1:] == task.test_inputs.shape[1:] == shape
    assert task.train_labels.dtype == task.test_labels.dtype == torch.int64
    assert len(task.train_inputs) == len(task.train_labels)
    assert len(task.test_inputs) == len(task.test_labels)


@pytest.mark.parametrize("shift", SHIFTS)
def test_mnist_can_be_shifted(shift: str, mnist_root: Path) -> None:
    dataset = first_examples(load_dataset("mnist", root=mnist_root), 30)
    task = make_task(dataset, shifted_by(shift), 0, 1)
    assert task.input_shape == (1, 28, 28)
    assert equal(task, dataset) == (shift == "stationary")


@pytest.mark.parametrize("shift", SHIFTS)
@few_examples
@given(seed=seeds, t=times, period=st.integers(1, 20))
def test_a_period_starts_the_stream_over(shift: str, seed: int, t: int, period: int) -> None:
    recurring = make_task(balanced(), shifted_by(shift, period=period), seed, t)
    assert equal(recurring, make_task(balanced(), shifted_by(shift), seed, t % period))


@pytest.mark.parametrize("shift", SHIFTS)
def test_the_first_task_can_be_the_data_set_itself(shift: str) -> None:
    dataset = some_digits()
    options = shifted_by(shift, first_task_identity=True, period=3)
    plain = shifted_by(shift)
    expected = dataset if shift in WITH_FIRST_TASK_IDENTITY else make_task(dataset, plain, 5, 0)
    assert equal(make_task(dataset, options, 5, 0), expected)
    assert equal(make_task(dataset, options, 5, 3), expected)
    assert equal(make_task(dataset, options, 5, 2), make_task(dataset, plain, 5, 2))


@given(seed=seeds, t=times)
def test_stationary_is_the_data_set(seed: int, t: int) -> None:
    assert equal(make_task(tiny(), shifted_by("stationary"), seed, t), tiny())


def test_task_0_of_seed_0_is_pinned() -> None:
    # Drawn once and written down: if it changes, no old result can be reproduced any more.
    image = torch.arange(8).reshape(1, 1, 2, 4)
    label = torch.arange(8)
    dataset = Task(image.expand(8, -1, -1, -1), label, image, label[:1], 8)
    pixels = make_task(dataset, shifted_by("permuted_pixels"), 0, 0).test_inputs
    assert pixels.flatten().tolist() == [1, 2, 5, 4, 3, 6, 7, 0]
    labels = make_task(dataset, shifted_by("permuted_labels"), 0, 0).train_labels
    assert labels.tolist() == [6, 3, 2, 1, 7, 4, 0, 5]


@given(seed=seeds, t=times)
def test_draws_of_permutations_are_pinned(seed: int, t: int) -> None:
    key = RandomKey((seed, "shift", "permuted_pixels")).child("pixels", t)
    task = make_task(tiny(), shifted_by("permuted_pixels"), seed, t)
    assert equal(task, permute_pixels(tiny(), key.generator().permutation(4)))
    key = RandomKey((seed, "shift", "permuted_labels")).child("labels", t)
    task = make_task(tiny(), shifted_by("permuted_labels"), seed, t)
    assert equal(task, permute_labels(tiny(), key.generator().permutation(3)))


# ------------------------------------------------------------------ permuted pixels and labels


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


@few_examples
@given(seed=seeds, t=times)
def test_permuted_labels_keep_their_counts_up_to_names(seed: int, t: int) -> None:
    dataset = load_dataset("digits")
    task = make_task(dataset, shifted_by("permuted_labels"), seed, t)
    names: dict[int, int] = dict(
        zip(dataset.train_labels.tolist(), task.train_labels.tolist(), strict=True)
    )
    assert sorted(names.values()) == list(range(10))
    for split in ("train_labels", "test_labels"):
        before, after = getattr(dataset, split), getattr(task, split)
        assert [names[label] for label in before.tolist()] == after.tolist()
        assert after.bincount().sort().values.tolist() == before.bincount().sort().values.tolist()
    assert torch.equal(task.train_inputs, dataset.train_inputs)


# ------------------------------------------------------------------ rotation


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


# ------------------------------------------------------------------ random labels


def test_random_labels_are_uniform_and_tell_nothing() -> None:
    dataset = load_dataset("digits")
    task, other = (make_task(dataset, shifted_by("random_labels"), 0, t) for t in (0, 1))
    examples = 1437
    # Bernoulli(0.1) over 1437 examples: a standard deviation of sqrt(1437 * 0.1 * 0.9) = 11.4
    assert task.train_labels.bincount(minlength=10).numpy() == pytest.approx(
        examples / 10, abs=4 * 11.4
    )
    for unrelated in (dataset, other):
        agreeing = int((task.train_labels == unrelated.train_labels).sum())
        assert agreeing == pytest.approx(examples / 10, abs=4 * 11.4)
    assert torch.equal(task.train_inputs, dataset.train_inputs)


@pytest.mark.parametrize(("test_examples", "expected"), [(3, 3), (50, 20)])
def test_random_labels_are_scored_by_memorisation(test_examples: int, expected: int) -> None:
    digits = load_dataset("digits")
    dataset = replace(
        digits,
        train_inputs=digits.train_inputs[:20],
        train_labels=digits.train_labels[:20],
        test_inputs=digits.test_inputs[:test_examples],
        test_labels=digits.test_labels[:test_examples],
    )
    task = randomize_labels(dataset, RandomKey((0,)))
    assert len(task.test_labels) == expected
    assert torch.equal(task.test_inputs, task.train_inputs[:expected])
    assert torch.equal(task.test_labels, task.train_labels[:expected])


# ------------------------------------------------------------------ class split


@pytest.mark.parametrize(("size", "groups"), [(2, 5), (3, 3), (4, 2), (5, 2), (6, 1), (10, 1)])
@pytest.mark.parametrize("cycle", [0, 1, 7])
def test_each_class_has_its_turn_once_per_cycle(size: int, groups: int, cycle: int) -> None:
    dataset = labelled(torch.arange(30) % 10, 10)
    options = shifted_by("class_split", classes_per_task=size)
    seen: list[int] = []
    for t in range(cycle * groups, (cycle + 1) * groups):
        task = make_task(dataset, options, 0, t)
        names = dict(
            zip(task.train_inputs.flatten().tolist(), task.train_labels.tolist(), strict=True)
        )
        assert sorted(names.values()) == list(range(size))
        assert task.classes == size
        assert len(task.train_labels) == 3 * size
        assert [names[x] for x in task.test_inputs.flatten().tolist()] == task.test_labels.tolist()
        seen += names
    assert len(set(seen)) == len(seen) == groups * size


def test_every_cycle_splits_anew() -> None:
    dataset = labelled(torch.arange(10), 10)
    options = shifted_by("class_split", classes_per_task=3)
    cycles = [
        frozenset(
            frozenset(make_task(dataset, options, 0, t).train_inputs.flatten().tolist())
            for t in range(3 * cycle, 3 * cycle + 3)
        )
        for cycle in range(100)
    ]
    # There are 10! / 3!^3 / 3! = 2800 splits; and each class is the one left over one day.
    assert len(set(cycles)) > 90
    left_over = {frozenset(range(10)).difference(*cycle) for cycle in cycles}
    assert left_over == {frozenset({label}) for label in range(10)}


# ------------------------------------------------------------------ noise


@pytest.mark.parametrize(
    ("t", "step", "replaced"),
    [(0, 0.02, 0), (1, 0.02, 1), (10, 0.02, 13), (10, 0.05, 32), (50, 0.02, 64), (999, 0.02, 64)],
)
def test_noise_rises_by_whole_pixels_of_each_image(t: int, step: float, replaced: int) -> None:
    dataset = black_and_white(images=30, pixels=64)
    task = make_task(dataset, shifted_by("noise", noise_step=step), 0, t)
    for split in ("train_inputs", "test_inputs"):
        before, after = getattr(dataset, split), getattr(task, split)
        assert set((after != before).sum(1).tolist()) == {replaced}
        assert 0 <= float(after.min()) <= float(after.max()) <= 1
    assert torch.equal(task.train_labels, dataset.train_labels)
    assert torch.equal(task.test_labels, dataset.test_labels)


def test_each_image_has_its_own_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shifts, "IMAGES_PER_BLOCK", 10)
    dataset = black_and_white(images=1000, pixels=8)
    task = add_noise(dataset, 0.5, RandomKey((0,)))
    noise = [
        replaced.tolist()
        for before, after in (
            (dataset.train_inputs, task.train_inputs),
            (dataset.test_inputs, task.test_inputs),
        )
        for replaced in after[after != before].split(4)
    ]
    assert len({tuple(values) for values in noise}) == 1500
    # each pixel is replaced in half of the images, with a deviation of sqrt(0.25 / 1000) = 0.016
    share = (task.train_inputs != dataset.train_inputs).double().mean(0)
    assert share.numpy() == pytest.approx(0.5, abs=4 * 0.016)


def test_noise_is_uniform_over_the_data_sets_values() -> None:
    digits = load_dataset("digits")
    noise = add_noise(digits, 1.0, RandomKey((0,))).train_inputs
    assert noise.dtype == torch.uint8
    pixels = 1437 * 64
    deviation = math.sqrt(pixels * 1 / 17 * 16 / 17)
    counts = noise.flatten().bincount().numpy()
    assert len(counts) == 17
    assert counts == pytest.approx(pixels / 17, abs=4 * deviation)
