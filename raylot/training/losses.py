"""The loss of a task, and how many examples a network gets right."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from raylot.tasks import Task


def loss_of(
    task: Task,
    outputs: Tensor,
    labels: Tensor,
    *,
    reduction: Literal["mean", "sum", "none"] = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Returns what training on a task minimises.

    Classification: the cross-entropy in nats. Regression: the squared error (f - y)^2, its mean
    over the targets of each example, as shibhansh/loss-of-plasticity logs it for one target.

    Args:
        task: says which of both it is.
        outputs: of the network, ``examples x outputs``.
        labels: ``examples``; in regression ``examples x targets``, as many as outputs.
        reduction: ``"mean"`` or ``"sum"`` over the examples, or ``"none"``: a value for each.
        label_smoothing: share of each label's probability that is spread evenly over all classes.
    """
    if task.is_regression:
        errors = F.mse_loss(outputs, labels, reduction="none").flatten(1).mean(1)
        if reduction == "none":
            return errors
        return errors.mean() if reduction == "mean" else errors.sum()
    return F.cross_entropy(outputs, labels, reduction=reduction, label_smoothing=label_smoothing)


def hits(task: Task, outputs: Tensor, labels: Tensor) -> Tensor | None:
    """Returns how many examples the largest output classifies right; None in regression."""
    if task.is_regression:
        return None
    return (outputs.argmax(1) == labels).sum()
