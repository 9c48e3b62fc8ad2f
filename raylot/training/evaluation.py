"""Loss and accuracy of a network on a task's test split."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from raylot.data import Task

#: Examples per forward pass; bounds memory, does not change results beyond rounding.
EVALUATION_BATCH = 2048


@dataclass(frozen=True)
class Evaluation:
    """Mean cross-entropy in nats and fraction classified correctly; NaN if not finite."""

    loss: float
    accuracy: float

    @classmethod
    def of(cls, loss: float, correct: int, examples: int) -> Evaluation:
        """From the sum of losses and the number of hits."""
        mean_loss = loss / examples if examples else math.nan
        is_finite = math.isfinite(mean_loss)
        return cls(mean_loss, correct / examples if is_finite else math.nan)


@torch.inference_mode()
def evaluate(network: nn.Module, task: Task) -> Evaluation:
    """Evaluates a network on a task's test split, in evaluation mode."""
    was_training = network.training
    network.eval()
    loss = torch.zeros((), dtype=torch.float64, device=task.test_labels.device)
    correct = torch.zeros((), dtype=torch.int64, device=task.test_labels.device)
    for inputs, labels in zip(
        task.test_inputs.split(EVALUATION_BATCH),
        task.test_labels.split(EVALUATION_BATCH),
        strict=True,
    ):
        logits = network(task.scale(inputs))
        loss += F.cross_entropy(logits, labels, reduction="sum")
        correct += (logits.argmax(1) == labels).sum()
    network.train(was_training)
    return Evaluation.of(float(loss), int(correct), len(task.test_labels))
