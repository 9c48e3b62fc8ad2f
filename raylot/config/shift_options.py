"""Options that choose how tasks change along the stream, and those that some shifts have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from raylot.config.naming import NamingOptions
from raylot.config.options import OneOf, Options, option


class PermutedPixels(Options):
    """Options of ``permuted_pixels``."""

    fraction: float = option(
        1.0, "share of the pixels that are permuted among themselves", gt=0, le=1, off=1.0,
        role="training",
    )  # fmt: skip


class FirstTask(Options):
    """Options of shifts that can leave task 0 as it is."""

    first_task_identity: bool = option(
        False, "task 0 is the data set itself", off=False, role="training",
    )  # fmt: skip


class Rotation(Options):
    """Options of ``rotation``."""

    rotation_range: float = option(
        360.0, "each task's angle is drawn from 0 to this, in degrees", gt=0, le=360, off=360.0,
        role="training",
    )  # fmt: skip


class ClassSplit(Options):
    """Options of ``class_split``."""

    classes_per_task: int = option(
        2, "classes of each task, at most the data set's", ge=2, off=2, role="training",
    )  # fmt: skip


class Noise(Options):
    """Options of ``noise``."""

    noise_step: float = option(
        0.02, "share of the pixels replaced by random values, times the task's number",
        gt=0, le=1, off=0.02, role="training",
    )  # fmt: skip


class Course(Options):
    """Options of every shift whose tasks differ, plugins' too: how one task follows another."""

    period: int = option(
        0, "tasks after which the stream starts over with its first task; 0: never",
        ge=0, le=1_000_000, off=0, role="training",
    )  # fmt: skip
    gradual: float = option(
        0.0, "share of a task's training over which the previous task's examples fade out; "
        "0: tasks change at once; tickets are searched on the new task alone", ge=0, le=1, off=0.0,
        role="training",
    )  # fmt: skip


#: Shift -> the models of its options.
DECLARED: dict[str, tuple[type[Options], ...]] = {
    "permuted_pixels": (PermutedPixels, FirstTask, Course),
    "permuted_labels": (FirstTask, Course),
    "random_labels": (FirstTask, Course),
    "rotation": (FirstTask, Rotation, Course),
    "class_split": (ClassSplit, Course),
    "noise": (Noise, Course),
}


class ShiftParameters(
    PermutedPixels, FirstTask, Rotation, ClassSplit, Noise, Course, title="shifts"
):
    """How far tasks of a stream differ."""


class ShiftOptions(ShiftParameters, NamingOptions):
    """How tasks change along the stream."""

    shift: Annotated[str, OneOf("shift")] = option(
        "permuted_pixels", "what changes from task to task; stationary is the control",
        compared=True, role="training",
    )  # fmt: skip


#: Shifts that change which class an example is of, so that a regression data set cannot have them.
OF_CLASSES = ("class_split", "permuted_labels", "random_labels")

#: Shifts that make no probe tasks.
NO_PROBE_SHIFTS = ("stationary", "noise")


def customary_probe_shift(shifts: Sequence[str]) -> str:
    """Returns the shift that makes the probe tasks of streams with these shifts.

    It is the same for all of them, so that they are compared on the same tasks.
    """
    drawn = [shift for shift in shifts if shift not in NO_PROBE_SHIFTS]
    return "class_split" if "class_split" in drawn else next(iter(drawn), "permuted_pixels")
