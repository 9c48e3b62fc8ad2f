"""Data sets, and the shifts that make streams of tasks from them."""

from raylot.tasks.datasets import load_dataset
from raylot.tasks.shifts import (
    add_noise,
    make_task,
    map_inputs,
    permute_labels,
    permute_pixels,
    randomize_labels,
    rotate,
    select_classes,
)
from raylot.tasks.task import Task

__all__ = [
    "Task",
    "add_noise",
    "load_dataset",
    "make_task",
    "map_inputs",
    "permute_labels",
    "permute_pixels",
    "randomize_labels",
    "rotate",
    "select_classes",
]
