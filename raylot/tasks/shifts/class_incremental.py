"""Class-incremental: every task adds classes, and the network's head grows."""

from __future__ import annotations

from dataclasses import replace

from raylot.config import ShiftOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.tasks.shifts.class_split import select_classes
from raylot.tasks.task import Task


def make(dataset: Task, options: ShiftOptions, key: RandomKey, t: int) -> Task:
    """Shows ``classes_per_task`` (t + 1) classes of the data set, in a random order.

    The class that comes k-th has label k. Outputs of classes that are still to come take no part
    in loss and accuracy, as if the head grew (incremental CIFAR-100 of Dohare et al. 2024). With
    ``new_classes_only``, both splits hold the added classes alone, while the outputs of all classes
    so far take part. Once no group of classes is left, tasks stay the last one; classes that fill
    no group never come.

    Raises:
        OptionError: the classes do not fill two groups.
    """
    size, classes = options.classes_per_task, dataset.known_classes
    if 2 * size > classes:
        raise OptionError(
            f"classes_per_task={size}: must be at most {classes // 2}, half of the data set's "
            "classes, so that they can grow"
        )
    step = min(t, classes // size - 1)
    order = key.child("classes").generator().permutation(classes)
    seen = (step + 1) * size
    task = select_classes(dataset, order[:seen])
    if options.new_classes_only:
        in_train, in_test = (y >= step * size for y in (task.train_labels, task.test_labels))
        task = replace(
            task,
            train_inputs=task.train_inputs[in_train],
            train_labels=task.train_labels[in_train],
            test_inputs=task.test_inputs[in_test],
            test_labels=task.test_labels[in_test],
        )
    return replace(task, classes=classes, shown=seen if seen < classes else None)
