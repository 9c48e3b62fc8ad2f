"""Size of the weights of prunable layers, and how far they have come."""

from __future__ import annotations

from torch import Tensor

from raylot.plasticity.metric import Metric, root_sum_of_squares, weighted_mean


def norm(tensor: Tensor) -> float:
    """Euclidean norm of all elements; 0 if there are none."""
    return float(tensor.double().norm())


def mean_magnitude(weights: Tensor) -> float:
    """Mean absolute value; NaN if there are no weights."""
    return float(weights.double().abs().mean())


#: Of a prunable layer's live weights.
WEIGHT_METRICS: dict[str, Metric[Tensor]] = {
    "weight_norm": Metric(lambda w, options: norm(w), root_sum_of_squares),
    "weight_magnitude": Metric(lambda w, options: mean_magnitude(w), weighted_mean),
}

#: Of what a prunable layer's live weights have moved by since initialisation.
DISTANCE_METRICS: dict[str, Metric[Tensor]] = {
    "distance_from_init": Metric(lambda moved, options: norm(moved), root_sum_of_squares),
}
