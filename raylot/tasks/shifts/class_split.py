"""Class split: every task shows some of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from raylot.config import ShiftOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.tasks.task import Task


def make(dataset: Task, options: ShiftOptions, key: RandomKey, t: int) -> Task:
    """Splits the classes at random into groups of classes_per_task, one group per task.

    Once every group has been a task, a new random split begins the next cycle. Classes that fill
    no group (one of ten, for groups of three) do not occur in that cycle.
    """
    size, classes = options.classes_per_task, dataset.known_classes
    if size > classes:
        raise OptionError(
            f"classes_per_task={size}: must be at most {classes}, the data set's classes"
        )
    cycle, group = divmod(t, classes // size)
    order = key.child("classes", cycle).generator().permutation(classes)
    return select_classes(dataset, order[group * size : (group + 1) * size])


def select_classes(task: Task, chosen: Sequence[int] | np.ndarray) -> Task:
    """Keeps only the examples of some classes, in order; class ``chosen[i]`` becomes label i.

    Args:
        task: any task.
        chosen: different classes of the task.

    Raises:
        OptionError: they are no such classes, or a split has no example of them.
    """
    labels, classes = [int(label) for label in chosen], task.known_classes
    if len({*labels}) < len(labels) or not all(0 <= label < classes for label in labels):
        raise OptionError(f"classes {labels}: must be different ones from 0 to {classes - 1}")
    device = task.train_labels.device
    new_label = torch.full((classes,), -1, device=device)
    new_label[torch.as_tensor(chosen, device=device)] = torch.arange(len(chosen), device=device)
    train_labels, test_labels = new_label[task.train_labels], new_label[task.test_labels]
    in_train, in_test = train_labels >= 0, test_labels >= 0
    if not (in_train.any() and in_test.any()):
        raise OptionError(
            f"classes {labels}: must have training and test examples, as they are to be one task"
        )
    return replace(
        task,
        train_inputs=task.train_inputs[in_train],
        train_labels=train_labels[in_train],
        test_inputs=task.test_inputs[in_test],
        test_labels=test_labels[in_test],
        classes=len(chosen),
    )
