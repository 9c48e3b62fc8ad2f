"""Collects the measures of a training; the same in all engines."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from raylot.tasks import Task
from raylot.training.evaluation import Evaluation
from raylot.training.job import TrainingResult
from raylot.training.losses import hits, loss_of


@dataclass
class Record:
    """Online losses and hits of all examples so far, and the learning curve.

    Attributes:
        curve: test accuracy before training and after each epoch, if asked for.
        loss: sum of the examples' losses, each from before the step that used it.
        correct: how many of them were classified correctly; None: regression.
        examples: how many they were.
    """

    curve: list[float] = field(default_factory=list)
    loss: float = 0.0
    correct: int | None = 0
    examples: int = 0

    def add(self, loss: float, correct: int | None, examples: int) -> None:
        """Adds some steps' examples; the number of hits is None in regression."""
        self.loss += loss
        self.correct = None if correct is None else (self.correct or 0) + correct
        self.examples += examples

    def add_outputs(self, task: Task, outputs: Tensor, labels: Tensor) -> None:
        """Adds some steps' outputs, ``examples x outputs``, and as many labels."""
        loss = loss_of(task, outputs, labels, reduction="none").sum(dtype=torch.float64)
        right = hits(task, outputs, labels)
        self.add(float(loss), None if right is None else int(right), len(labels))

    def add_to_curve(self, found: Evaluation) -> None:
        """Adds an evaluation to the learning curve; a task without accuracies has none."""
        if found.accuracy is not None:
            self.curve.append(found.accuracy)

    @property
    def is_finite(self) -> bool:
        return math.isfinite(self.loss)

    def result(self, final: Evaluation, **others: Any) -> TrainingResult:
        """Makes the result.

        Args:
            final: the evaluation after training.
            others: what the record does not know, from ``steps`` on in `TrainingResult`.
        """
        diverged = not (self.is_finite and math.isfinite(final.loss))

        def finite(value: float) -> float:
            return math.nan if diverged else value

        speed = None
        if self.curve:
            area = sum(self.curve[:-1]) / 2 + sum(self.curve[1:]) / 2
            epochs = len(self.curve) - 1  # 0 if the first epoch diverged
            speed = math.nan if diverged else area / epochs
        count = self.examples or math.nan
        return TrainingResult(
            train_loss=finite(self.loss / count),
            online_accuracy=None if self.correct is None else finite(self.correct / count),
            test_loss=final.loss,
            test_accuracy=None if final.accuracy is None else finite(final.accuracy),
            learning_speed=speed,
            diverged=diverged,
            **others,
        )
