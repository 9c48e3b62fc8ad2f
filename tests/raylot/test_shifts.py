"""raylot.shifts: permutations worked out by hand; task t depends on data, seed and t alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from raylot.data import Task, load_dataset
from raylot.randomness import RandomKey
from raylot.shifts import SHIFTS, make_task, permute_labels, permute_pixels

seeds = st.integers(0, 2**63 - 1)
times = st.integers(0, 10**6)


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


def some_digits() -> Task:
    """The first images of each split of the digits."""
    digits = load_dataset("digits")
    return replace(
        digits,
        train_inputs=digits.train_inputs[:50],
        train_labels=digits.train_labels[:50],
        test_inputs=digits.test_inputs[:50],
        test_labels=digits.test_labels[:50],
    )


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


def test_the_data_set_stays_as_it_was() -> None:
    task = tiny()
    permute_pixels(task, np.array([3, 0, 1, 2]))
    permute_labels(task, np.array([2, 0, 1]))
    assert equal(task, tiny())


def test_the_identity_changes_nothing() -> None:
    assert equal(permute_pixels(tiny(), np.arange(4)), tiny())
    assert equal(permute_labels(tiny(), np.arange(3)), tiny())


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


# ------------------------------------------------------------------ streams


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_task_is_the_same_in_any_order_and_alone(shift: str) -> None:
    dataset = load_dataset("digits")
    forwards = [make_task(dataset, shift, 7, t) for t in range(5)]
    np.random.seed(0)  # global generators must not matter
    torch.manual_seed(0)
    backwards = [make_task(dataset, shift, 7, t) for t in reversed(range(5))]
    torch.rand(10)
    alone = make_task(dataset, shift, 7, 3)
    assert all(map(equal, forwards, reversed(backwards)))
    assert equal(alone, forwards[3])


@pytest.mark.parametrize("shift", SHIFTS)
@given(seed=seeds, t=times)
def test_a_task_depends_on_seed_and_t_alone(shift: str, seed: int, t: int) -> None:
    task = make_task(tiny(), shift, seed, t)
    key = RandomKey((seed, "shift", shift))
    assert equal(task, make_task(tiny(), shift, seed, t))
    assert equal(task, SHIFTS[shift](tiny(), key, t))


@pytest.mark.parametrize("shift", sorted(set(SHIFTS) - {"stationary"}))
def test_tasks_differ_along_the_stream_and_between_seeds(shift: str) -> None:
    dataset = load_dataset("digits")
    tasks = [make_task(dataset, shift, seed, t) for seed in range(3) for t in range(4)]
    assert not any(equal(dataset, task) for task in tasks)  # task 0 is shifted too
    for i, task in enumerate(tasks):
        assert not any(equal(task, other) for other in tasks[:i])


@given(seed=seeds, t=times)
def test_stationary_is_the_data_set(seed: int, t: int) -> None:
    assert equal(make_task(tiny(), "stationary", seed, t), tiny())


def test_task_0_of_seed_0_is_pinned() -> None:
    # Drawn once and written down: if it changes, no old result can be reproduced any more.
    image = torch.arange(8).reshape(1, 1, 2, 4)
    label = torch.arange(8)
    task = Task(image.expand(8, -1, -1, -1), label, image, label[:1], 8)
    pixels = make_task(task, "permuted_pixels", 0, 0).test_inputs
    assert pixels.flatten().tolist() == [1, 2, 5, 4, 3, 6, 7, 0]
    labels = make_task(task, "permuted_labels", 0, 0).train_labels
    assert labels.tolist() == [6, 3, 2, 1, 7, 4, 0, 5]


@given(seed=seeds, t=times)
def test_permuted_images_keep_their_pixels(seed: int, t: int) -> None:
    dataset = some_digits()
    task = make_task(dataset, "permuted_pixels", seed, t)
    for split in ("train_inputs", "test_inputs"):
        before, after = getattr(dataset, split), getattr(task, split)
        assert after.shape == before.shape
        assert after.dtype == before.dtype
        assert torch.equal(before.flatten(1).sort(1).values, after.flatten(1).sort(1).values)
    assert torch.equal(task.train_labels, dataset.train_labels)


@given(seed=seeds, t=times)
def test_both_splits_are_permuted_alike(seed: int, t: int) -> None:
    dataset = tiny()
    task = make_task(dataset, "permuted_pixels", seed, t)
    # the test image is ten times the first training image
    assert torch.equal(task.test_inputs[0], 10 * task.train_inputs[0])


@given(seed=seeds, t=times)
def test_permuted_labels_keep_their_counts_up_to_names(seed: int, t: int) -> None:
    dataset = load_dataset("digits")
    task = make_task(dataset, "permuted_labels", seed, t)
    names: dict[int, int] = dict(
        zip(dataset.train_labels.tolist(), task.train_labels.tolist(), strict=True)
    )
    assert sorted(names.values()) == list(range(10))
    for split in ("train_labels", "test_labels"):
        before, after = getattr(dataset, split), getattr(task, split)
        assert [names[label] for label in before.tolist()] == after.tolist()
        assert after.bincount().sort().values.tolist() == before.bincount().sort().values.tolist()
    assert torch.equal(task.train_inputs, dataset.train_inputs)
