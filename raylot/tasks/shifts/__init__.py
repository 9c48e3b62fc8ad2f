"""Shift types, one file each, which is named like the shift; and the streams that they make.

Each file's `make` makes task t from the data set, the options, a key for draws, and t. It depends
on nothing else, so any task can be made without making the ones before it. All draws are made on
the CPU, so that a seed means the same stream on every device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module

import torch

from raylot.config import ShiftOptions
from raylot.foundation import registry
from raylot.foundation.names import BUILT_IN
from raylot.foundation.randomness import RandomKey
from raylot.tasks.task import TENSORS, Task

Shift = Callable[[Task, ShiftOptions, RandomKey, int], Task]

SHIFTS: dict[str, Shift] = {
    name: import_module(f"{__name__}.{name}").make for name in BUILT_IN["shift"]
}


#: Number of the first probe task: no stream is as long.
_FIRST_PROBE_TASK = 10_000_000


def make_probe_task(dataset: Task, shift: str, classes_per_task: int, seed: int, p: int) -> Task:
    """Makes probe task p of a seed, which no stream of the seed shows.

    class_split has few different tasks: its streams show the classes of many probe tasks, half of
    them in 31 tasks of 2 classes (docs/method.md).

    Args:
        dataset: any task; left unchanged.
        shift: makes the task, at its default parameters.
        classes_per_task: classes of the task, for class_split.
        seed: decides every draw.
        p: number of the probe task, from 0.
    """
    options = ShiftOptions(shift=shift, classes_per_task=classes_per_task)
    return make_task(dataset, options, seed, _FIRST_PROBE_TASK + p)


def make_task(dataset: Task, options: ShiftOptions, seed: int, t: int) -> Task:
    """Makes task t of the stream that a data set, a shift type and a seed define.

    Args:
        dataset: any task; left unchanged. Where nothing changes, the new task shares its tensors.
        options: the shift type and how far its tasks differ. With a ``period``, task t is task
            ``t mod period``. Training takes care of ``gradual``.
        seed: decides every draw.
        t: number of the task, from 0.

    Returns:
        A task on the same device. All tasks of a stream have the same input shape and number of
        classes: ``classes_per_task`` for class_split, else the data set's.

    Raises:
        OptionError: the shift cannot be applied to such data.
        TypeError: a plugin's shift returned no task.
    """
    if options.period:
        t %= options.period
    key = RandomKey((seed, "shift", options.shift))
    if options.shift in SHIFTS:
        return SHIFTS[options.shift](dataset, options, key, t)
    shift: Shift = registry.get("shift", options.shift)
    # All runs on a node share the data set, so a plugin gets a copy, and random draws of its own.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(key.child("torch", t).torch_seed())
        copies = {name: getattr(dataset, name).clone() for name in TENSORS}
        task = shift(replace(dataset, **copies), options, key, t)
    registry.check_returned("shift", options.shift, task, Task)
    return task
