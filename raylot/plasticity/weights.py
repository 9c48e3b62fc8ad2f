"""Metrics of prunable layers: size of weights, distance from initialisation, and gradients."""

from __future__ import annotations

from torch import Tensor

from raylot.plasticity.metric import Metric, root_sum_of_squares, weighted_mean


def norm(tensor: Tensor) -> float:
    """Returns the Euclidean norm of all elements; 0 without elements."""
    return float(tensor.double().norm())


def mean_magnitude(weights: Tensor) -> float:
    """Returns the mean absolute value; NaN without weights."""
    return float(weights.double().abs().mean())


def zero_fraction(gradient: Tensor) -> float:
    """Returns the fraction of elements that are exactly 0, in [0, 1]; NaN without elements."""
    return float((gradient == 0).double().mean())


#: Metrics of a prunable layer's live weights.
WEIGHT_METRICS: dict[str, Metric[Tensor]] = {
    "weight_norm": Metric(lambda w, options: norm(w), root_sum_of_squares),
    "weight_magnitude": Metric(lambda w, options: mean_magnitude(w), weighted_mean),
}

#: Metrics of how far a prunable layer's live weights have moved since initialisation.
DISTANCE_METRICS: dict[str, Metric[Tensor]] = {
    "distance_from_init": Metric(lambda moved, options: norm(moved), root_sum_of_squares),
}

#: Metrics of the gradient of the mean loss over the probe, in a prunable layer's live weights.
GRADIENT_METRICS: dict[str, Metric[Tensor]] = {
    "gradient_norm": Metric(lambda g, options: norm(g), root_sum_of_squares),
    "gradient_zero_fraction": Metric(lambda g, options: zero_fraction(g), weighted_mean),
}
