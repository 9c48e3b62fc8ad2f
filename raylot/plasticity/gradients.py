"""The gradient of the mean loss over the probe, in the weights of prunable layers."""

from __future__ import annotations

from torch import Tensor

from raylot.plasticity.metric import Metric, root_sum_of_squares, weighted_mean
from raylot.plasticity.weights import norm


def zero_fraction(gradient: Tensor) -> float:
    """Returns the fraction of elements that are exactly 0, in [0, 1]; NaN without elements."""
    return float((gradient == 0).double().mean())


#: Metrics of the gradient in a prunable layer's live weights.
GRADIENT_METRICS: dict[str, Metric[Tensor]] = {
    "gradient_norm": Metric(lambda g, options: norm(g), root_sum_of_squares),
    "gradient_zero_fraction": Metric(lambda g, options: zero_fraction(g), weighted_mean),
}
