"""Collects the measures of a training; the same in all engines."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from raylot.training.evaluation import Evaluation
from raylot.training.job import TrainingResult


@dataclass
class Record:
    """Online losses and hits of all examples so far, and the learning curve.

    Attributes:
        curve: test accuracy before training and after each epoch, if asked for.
        loss: sum of the examples' cross-entropies, each from before the step that used it.
        correct: how many of them were classified correctly.
        examples: how many they were.
    """

    curve: list[float] = field(default_factory=list)
    loss: float = 0.0
    correct: int = 0
    examples: int = 0

    def add(self, loss: float, correct: int, examples: int) -> None:
        """Adds some steps' examples."""
        self.loss += loss
        self.correct += correct
        self.examples += examples

    def add_logits(self, logits: Tensor, labels: Tensor) -> None:
        """Adds some steps' logits, ``examples x classes``; surplus labels are left out."""
        targets = labels[: len(logits)]
        loss = F.cross_entropy(logits, targets, reduction="none").sum(dtype=torch.float64)
        self.add(float(loss), int((logits.argmax(1) == targets).sum()), len(targets))

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
            online_accuracy=finite(self.correct / count),
            test_loss=final.loss,
            test_accuracy=finite(final.accuracy),
            learning_speed=speed,
            diverged=diverged,
            **others,
        )
