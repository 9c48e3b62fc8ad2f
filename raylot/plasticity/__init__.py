"""Structural metrics of a snapshot: activations, weights, gradients, curvature.

`measure` computes all of them on a copy of the network and a fixed probe of training inputs of the
next task. How well the network learns that task (test and online accuracy, learning speed,
trainability gap) shows in training: see ``trials/stream.py``.

Each file has a table of metrics by name. A metric never fails `measure`: what cannot be computed is
NaN, with a reason.
"""

from raylot.plasticity.activations import LayerActivations, dormant_units, recorded_activations
from raylot.plasticity.measurement import Probe, measure
from raylot.plasticity.metric import mean, root_sum_of_squares, weighted_mean

__all__ = [
    "LayerActivations", "Probe", "dormant_units", "mean", "measure", "recorded_activations",
    "root_sum_of_squares", "weighted_mean",
]  # fmt: skip
