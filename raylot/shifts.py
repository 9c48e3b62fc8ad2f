"""Shift types: what turns one data set into a stream of tasks.

A shift is a function ``(data set, key, t) -> task``. Task t depends on the key and t alone, so
any task can be made without making the ones before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from raylot.data import Task
from raylot.randomness import RandomKey


def permute_pixels(task: Task, permutation: Tensor | np.ndarray) -> Task:
    """Reorders the pixels of every image: new pixel i is old pixel ``permutation[i]``.

    Args:
        task: images of any shape; they are permuted as if flattened, and keep their shape.
        permutation: ``pixels``, each of 0 ... pixels - 1 once.

    Raises:
        ValueError: it is no such permutation.
    """
    index = _permutation(permutation, task.train_inputs[0].numel(), task.train_inputs.device)
    return replace(
        task,
        train_inputs=_reorder(task.train_inputs, index),
        test_inputs=_reorder(task.test_inputs, index),
    )


def permute_labels(task: Task, permutation: Tensor | np.ndarray) -> Task:
    """Renames the classes: label y becomes ``permutation[y]``.

    Args:
        task: any task.
        permutation: ``classes``, each of 0 ... classes - 1 once.

    Raises:
        ValueError: it is no such permutation.
    """
    index = _permutation(permutation, task.classes, task.train_labels.device)
    return replace(task, train_labels=index[task.train_labels], test_labels=index[task.test_labels])


def _permutation(values: Tensor | np.ndarray, size: int, device: torch.device) -> Tensor:
    index = torch.as_tensor(values, dtype=torch.int64).to(device)
    if not torch.equal(index.sort().values, torch.arange(size, device=device)):
        raise ValueError(f"permutation: must hold each of 0 to {size - 1} once")
    return index


def _reorder(images: Tensor, index: Tensor) -> Tensor:
    return images.flatten(1)[:, index].view_as(images)


def _permuted_pixels(dataset: Task, key: RandomKey, t: int) -> Task:
    """A new random permutation of all pixels for every task, task 0 included."""
    pixels = dataset.train_inputs[0].numel()
    return permute_pixels(dataset, key.child("pixels", t).generator().permutation(pixels))


def _permuted_labels(dataset: Task, key: RandomKey, t: int) -> Task:
    """A new random permutation of the classes for every task, task 0 included."""
    return permute_labels(dataset, key.child("labels", t).generator().permutation(dataset.classes))


def _stationary(dataset: Task, key: RandomKey, t: int) -> Task:
    """The data set itself, for ever: the control."""
    return dataset


SHIFTS: dict[str, Callable[[Task, RandomKey, int], Task]] = {
    "permuted_pixels": _permuted_pixels,
    "permuted_labels": _permuted_labels,
    "stationary": _stationary,
}


def make_task(dataset: Task, shift: str, seed: int, t: int) -> Task:
    """Task t of the stream that a data set, a shift type and a seed define."""
    return SHIFTS[shift](dataset, RandomKey((seed, "shift", shift)), t)
