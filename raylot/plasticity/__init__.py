"""Structural metrics of a snapshot: activations, weights, gradients, curvature.

`measure` computes them on a copy of the network and a fixed probe of training inputs of the next
task; docs/measures.md lists all. How well the network learns shows in training: see
``raylot/trials/``.

Each file has a table of metrics by name. A metric never fails `measure`: what cannot be computed is
NaN, with a reason.
"""

from raylot.plasticity.activations import (
    LayerActivations,
    dead_fraction,
    dormant_fraction,
    dormant_units,
    recorded_activations,
    unit_sign_entropy,
)
from raylot.plasticity.curvature import sharpness
from raylot.plasticity.kernel import condition_number, pseudo_ntk, trace_ntk
from raylot.plasticity.measurement import ALL_BUILT_IN, FURTHER, GROUPS, measure
from raylot.plasticity.metric import mean, root_sum_of_squares, weighted_mean
from raylot.plasticity.probe import Probe
from raylot.plasticity.spectrum import effective_rank, singular_values, srank, stable_rank
from raylot.plasticity.weights import mean_magnitude, norm, zero_fraction

__all__ = [
    "ALL_BUILT_IN", "FURTHER", "GROUPS", "LayerActivations", "Probe", "condition_number",
    "dead_fraction", "dormant_fraction", "dormant_units", "effective_rank", "mean",
    "mean_magnitude", "measure", "norm", "pseudo_ntk", "recorded_activations",
    "root_sum_of_squares", "sharpness", "singular_values", "srank", "stable_rank", "trace_ntk",
    "unit_sign_entropy", "weighted_mean", "zero_fraction",
]  # fmt: skip
