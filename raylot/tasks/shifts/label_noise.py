"""Label noise: some training labels are random."""

from __future__ import annotations

from dataclasses import replace

import torch

from raylot.config import ShiftOptions
from raylot.foundation.randomness import RandomKey
from raylot.tasks.task import Task


def make(dataset: Task, options: ShiftOptions, key: RandomKey, t: int) -> Task:
    """Replaces ``round(noisy_share * examples)`` training labels by random ones.

    Which, and by what, is drawn anew for each task: uniformly from all classes, the right one among
    them, as Zhang et al. (2017) corrupt labels. With ``noisy_tasks`` ``first``, all tasks but task
    0 are the data set itself: a network that has fitted noise goes on with clean labels. Test
    labels stay as they are.
    """
    classes = dataset.known_classes
    if t and options.noisy_tasks == "first":
        return dataset
    generator = key.child("labels", t).generator()
    examples = len(dataset.train_labels)
    chosen = generator.permutation(examples)[: round(options.noisy_share * examples)]
    device = dataset.train_labels.device
    labels = dataset.train_labels.clone()
    drawn = generator.integers(classes, size=len(chosen))
    labels[torch.from_numpy(chosen).to(device)] = torch.from_numpy(drawn).to(device)
    return replace(dataset, train_labels=labels)
