"""Permuted labels: every task renames the classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import Tensor

from raylot.config import ShiftOptions
from raylot.foundation.randomness import RandomKey
from raylot.tasks.shifts._permutation import permutation_index
from raylot.tasks.task import Task


def make(dataset: Task, options: ShiftOptions, key: RandomKey, t: int) -> Task:
    """Renames the classes by a new random permutation for every task."""
    if t == 0 and options.first_task_identity:
        return dataset
    permutation = key.child("labels", t).generator().permutation(dataset.known_classes)
    return permute_labels(dataset, permutation)


def permute_labels(task: Task, permutation: Tensor | np.ndarray) -> Task:
    """Renames the classes: label y becomes ``permutation[y]``.

    Args:
        task: any task.
        permutation: ``classes``, each of 0 ... classes - 1 once.

    Raises:
        ValueError: ``permutation`` is not of this kind.
    """
    index = permutation_index(permutation, task.known_classes, task.train_labels.device)
    return replace(task, train_labels=index[task.train_labels], test_labels=index[task.test_labels])
