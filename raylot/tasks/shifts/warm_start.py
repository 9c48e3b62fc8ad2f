"""Warm start: a network trains on a part of the data first, and then on all of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from raylot.config import ShiftOptions
from raylot.foundation.randomness import RandomKey
from raylot.tasks.task import Task


def make(dataset: Task, options: ShiftOptions, key: RandomKey, t: int) -> Task:
    """Shows a random share of the training examples, which grows to all (Ash & Adams 2020).

    The share of task t is ``warm_share + (1 - warm_share) t / warm_tasks``, and 1 from task
    ``warm_tasks`` on: by default half of the examples, then all. Each task's examples are among the
    next one's. The test split is whole.
    """
    if t >= options.warm_tasks:
        return dataset
    share = options.warm_share + (1 - options.warm_share) * t / options.warm_tasks
    examples = len(dataset.train_labels)
    order = key.child("examples").generator().permutation(examples)
    chosen = np.sort(order[: max(1, round(share * examples))])
    index = torch.from_numpy(chosen).to(dataset.train_labels.device)
    return replace(
        dataset,
        train_inputs=dataset.train_inputs[index],
        train_labels=dataset.train_labels[index],
    )
