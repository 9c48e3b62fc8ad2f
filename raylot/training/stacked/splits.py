"""One split of all members' tasks, kept on the device as stored, mostly as uint8."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from raylot.tasks import Task


class Split:
    """The training or test examples of K tasks; tensors that tasks share are kept once.

    Attributes:
        examples: how many each task has.
        device: where they are.
    """

    def __init__(self, tasks: Sequence[Task], *, test: bool = False) -> None:
        """Collects a split of tasks that agree in its size, type and scaling."""
        parts = [
            (task.test_inputs, task.test_labels) if test else (task.train_inputs, task.train_labels)
            for task in tasks
        ]
        different = {(id(inputs), id(labels)): (inputs, labels) for inputs, labels in parts}
        numbers = {key: number for number, key in enumerate(different)}
        self._task = tasks[0]
        self.examples = len(parts[0][1])
        self.device = parts[0][1].device
        self._inputs = _joined([inputs for inputs, _ in different.values()])
        self._labels = _joined([labels for _, labels in different.values()])
        first = [numbers[id(inputs), id(labels)] * self.examples for inputs, labels in parts]
        self._first = torch.tensor(first, device=self.device).unsqueeze(1)

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Returns scaled inputs, ``members x examples x ...``, and labels, ``members x examples``.

        Args:
            index: which examples each member takes, ``members x examples``, int64.
        """
        rows = (index + self._first).flatten()
        inputs = self._inputs.index_select(0, rows).unflatten(0, index.shape)
        return self._task.scale(inputs), self._labels.index_select(0, rows).view(index.shape)


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))
