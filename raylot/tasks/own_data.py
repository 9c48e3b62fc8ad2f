"""Reads what a plugin's data set returns: a task, arrays, torch's data sets or pandas frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from raylot.config import DataOptions
from raylot.datasets import Source
from raylot.foundation import registry
from raylot.foundation.errors import OptionError
from raylot.foundation.text import is_exit_request
from raylot.tasks.task import TENSORS, Task

#: The column of a frame that holds the labels.
LABEL = "label"


def arrays_of(name: str, function: Callable[[DataOptions], Any], source: Source) -> list[Any]:
    """Calls a plugin's function and returns training inputs, training labels, and the test's.

    Raises:
        OptionError: the function raises an error, or returns something else.
    """
    # The function sees no other options, so that the data cannot depend on them.
    values = {field: getattr(source, field) for field in DataOptions.model_fields}
    try:
        return _as_arrays(function(DataOptions.model_construct(**values)))
    except BaseException as error:  # a plugin may call sys.exit too
        if is_exit_request(error):
            raise
        reason = registry.describe_error(error)
        raise OptionError(f"dataset={name}: cannot be loaded: {reason}") from None


def _as_arrays(returned: Any) -> list[Any]:
    if isinstance(returned, Task):
        return _of_task(returned)
    parts = list(returned) if isinstance(returned, tuple | list) else []
    if len(parts) == 4:
        return [part.numpy(force=True) if isinstance(part, Tensor) else part for part in parts]
    if len(parts) == 2 and all(isinstance(part, pd.DataFrame) for part in parts):
        return _of_frames(*parts)
    if len(parts) == 2 and all(isinstance(part, Dataset) for part in parts):
        return [array for part in parts for array in _of_dataset(part)]
    raise TypeError(
        "must return a raylot.Task, or (x_train, y_train, x_test, y_test), or two "
        "torch.utils.data.Dataset (training and test), or two pandas frames with a column "
        f"{LABEL}, not {type(returned).__name__}"
        + f" of {', '.join(type(part).__name__ for part in parts)}"
        * bool(parts)
    )


def _of_task(task: Task) -> list[np.ndarray]:
    if not task.is_regression:
        classes = 1 + int(torch.cat([task.train_labels, task.test_labels]).max())
        if classes != task.classes:
            raise ValueError(f"must return a task with classes={classes}, as its labels say")
    if (task.offset, task.divisor) != (0, 1):  # it is already scaled, before the option scaling
        task = Task(
            task.scale(task.train_inputs), task.train_labels,
            task.scale(task.test_inputs), task.test_labels, task.classes,
        )  # fmt: skip
    return [getattr(task, name).numpy(force=True) for name in TENSORS]


def _of_frames(train: pd.DataFrame, test: pd.DataFrame) -> list[np.ndarray]:
    for which, frame in (("training", train), ("test", test)):
        if LABEL not in frame.columns:
            raise ValueError(f"the {which} frame must have a column {LABEL}")
        for column in frame.columns:
            if column != LABEL and not pd.api.types.is_numeric_dtype(frame[column]):
                raise ValueError(f"column {column} of the {which} frame must hold numbers")
    features = [column for column in train.columns if column != LABEL]
    if {*features, LABEL} != {*test.columns}:
        raise ValueError("both frames must have the same columns")
    return [
        array
        for frame in (train, test)
        for array in (frame[features].to_numpy(np.float32), frame[LABEL].to_numpy())
    ]


def _of_dataset(dataset: Any) -> tuple[np.ndarray, np.ndarray]:
    inputs, labels = zip(*(dataset[i] for i in range(len(dataset))), strict=True)
    return np.stack([np.asarray(one) for one in inputs]), np.asarray(
        [np.asarray(one).item() for one in labels]
    )
