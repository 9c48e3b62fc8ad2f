"""The loss whose gradients, curvature and change structural metrics look at."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional as F


def loss_of(
    outputs: Tensor,
    labels: Tensor,
    *,
    reduction: Literal["mean", "sum", "none"] = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Returns the cross-entropy in nats of logits, ``examples x classes``, against labels."""
    return F.cross_entropy(outputs, labels, reduction=reduction, label_smoothing=label_smoothing)
