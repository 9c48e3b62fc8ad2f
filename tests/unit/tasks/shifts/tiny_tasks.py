"""Tasks that are small enough to be shifted by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from raylot.config import ShiftOptions
from raylot.tasks import Task, load_dataset

seeds = st.integers(0, 2**63 - 1)

times = st.integers(0, 10**6)

#: What costs milliseconds per example.
few_examples = settings(max_examples=20)


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


def bits() -> Task:
    """Regression on four bits: three training examples and two test examples."""
    inputs = torch.tensor([[0, 1, 0, 1], [1, 1, 0, 0], [0, 0, 0, 1]], dtype=torch.uint8)
    targets = inputs.sum(1, keepdim=True).float()
    return Task(inputs, targets, inputs[:2], targets[:2], classes=None)


def suited(shift: str) -> Task:
    """A tiny data set that a shift applies to."""
    if shift == "bit_flipping":
        return bits()
    if shift == "class_incremental":  # which adds two classes or more
        return labelled(torch.arange(5), 5)
    return balanced()


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
    facts = [(task.classes, task.shown, task.offset, task.divisor) for task in (a, b)]
    return facts[0] == facts[1] and all(
        torch.equal(getattr(a, name), getattr(b, name)) for name in tensors
    )
