"""Random labels: a task can only be memorised."""

from __future__ import annotations

from dataclasses import replace

import torch

from raylot.config import ShiftOptions
from raylot.foundation.randomness import RandomKey
from raylot.tasks.task import Task


def make(dataset: Task, options: ShiftOptions, key: RandomKey, t: int) -> Task:
    """Draws new labels for every task; `randomize_labels` says what test accuracy then means.

    With ``first_task_identity``, task 0 keeps its own test split.
    """
    if t == 0 and options.first_task_identity:
        return dataset
    return randomize_labels(dataset, key.child("labels", t))


def randomize_labels(task: Task, key: RandomKey) -> Task:
    """Replaces the labels by labels that do not depend on the images (Zhang et al. 2017).

    Each training label is drawn uniformly from all classes. As these labels say nothing about
    other images, the first training images (as many as there were test images) become the test
    split: test accuracy tells how much of the training split the network has memorised.
    """
    labels = torch.from_numpy(
        key.generator().integers(task.known_classes, size=len(task.train_labels))
    ).to(task.train_labels.device)
    examined = len(task.test_labels)
    return replace(
        task,
        train_labels=labels,
        test_inputs=task.train_inputs[:examined],
        test_labels=labels[:examined],
    )
