"""Data sets, and the shifts that make streams of tasks from them."""

from raylot.tasks.datasets import load_dataset
from raylot.tasks.shifts import make_probe_task, make_task
from raylot.tasks.shifts.class_split import select_classes
from raylot.tasks.shifts.noise import add_noise
from raylot.tasks.shifts.permuted_labels import permute_labels
from raylot.tasks.shifts.permuted_pixels import permute_pixels
from raylot.tasks.shifts.random_labels import randomize_labels
from raylot.tasks.shifts.rotation import rotate
from raylot.tasks.task import Task, map_inputs

__all__ = [
    "Task", "add_noise", "load_dataset", "make_probe_task", "make_task", "map_inputs",
    "permute_labels", "permute_pixels", "randomize_labels", "rotate", "select_classes",
]  # fmt: skip
