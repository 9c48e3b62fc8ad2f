"""Evaluates a network on a task's test split."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from raylot.tasks import Task
from raylot.training.losses import hits, loss_of
from raylot.training.memory_format import (
    channels_last,
    has_convolutions_on_cpu,
    takes_channels_last,
)
from raylot.training.repeatable import exact_convolutions

#: Examples per forward pass, to bound memory; changes results by rounding only. Few images' maps
#: stay in a processor's cache, where convolutions are 2 to 3 times faster.
EVALUATION_BATCH, CONVOLUTION_BATCH = 2048, 64


@dataclass(frozen=True)
class Evaluation:
    """Mean loss, and fraction classified correctly; NaN if the loss is not finite.

    The loss is the cross-entropy in nats, or in regression, which has no accuracy, the squared
    error: see `raylot.training.losses`.
    """

    loss: float
    accuracy: float | None

    @classmethod
    def of(cls, loss: float, correct: int | None, examples: int) -> Evaluation:
        """Makes it from the sum of losses and the number of hits; None: regression."""
        mean_loss = loss / examples if examples else math.nan
        if correct is None:
            return cls(mean_loss, None)
        return cls(mean_loss, correct / examples if math.isfinite(mean_loss) else math.nan)


def begin_training(network: nn.Module) -> None:
    """Puts a network in evaluation mode into training mode.

    If the network is in training mode already, submodules in evaluation mode, such as a frozen
    batch normalisation, stay in it.
    """
    if not network.training:
        network.train()


@contextlib.contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Sets evaluation mode inside; afterwards each module has its former mode."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        network.train(modes[network])  # a network's own `train` may do more than set modes
        for module, training in modes.items():
            module.training = training


@torch.no_grad()  # training could not use tensors that the network keeps from inference mode
def evaluate(network: nn.Module, task: Task) -> Evaluation:
    """Evaluates a network on a task's test split, in evaluation mode."""
    size = CONVOLUTION_BATCH if has_convolutions_on_cpu(network) else EVALUATION_BATCH
    lay_out = channels_last if takes_channels_last(network) else torch.Tensor.contiguous
    loss = torch.zeros((), dtype=torch.float64, device=task.test_labels.device)
    correct: torch.Tensor | None = None
    with evaluation_mode(network), exact_convolutions():
        for inputs, labels in zip(
            task.test_inputs.split(size),
            task.test_labels.split(size),
            strict=True,
        ):
            outputs = network(lay_out(task.scale(inputs)))
            loss += loss_of(task, outputs, labels, reduction="sum")
            if (right := hits(task, outputs, labels)) is not None:
                correct = right if correct is None else correct + right
    found = None if correct is None else int(correct)
    return Evaluation.of(float(loss), found, len(task.test_labels))
