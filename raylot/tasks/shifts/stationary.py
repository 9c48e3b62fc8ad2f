"""Stationary: nothing changes."""

from __future__ import annotations

from raylot.config import ShiftOptions
from raylot.foundation.randomness import RandomKey
from raylot.tasks.task import Task


def make(dataset: Task, options: ShiftOptions, key: RandomKey, t: int) -> Task:
    """Returns the data set itself for every t: the control of all other shifts."""
    return dataset
