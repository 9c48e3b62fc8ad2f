"""Duplicate units: those whose activations another unit of their layer repeats, up to a factor."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from raylot.plasticity.activations import LayerActivations, activation_rows, recorded_activations
from raylot.plasticity.metric import Metric, Row, weighted_mean
from raylot.plasticity.probe import Subject


def duplicate_fraction(activations: Tensor, cosine: float) -> float:
    """Returns the fraction of units that a later unit duplicates, in [0, 1).

    Two units are duplicates if the cosine of their activations over all examples is above
    ``cosine``. Of k units that are all alike, k - 1 count. A unit that is 0 on the whole probe has
    no direction: it duplicates none, but it is one of the layer's units, so that this and
    `dead_fraction` add up. Joudaki et al. (2025, arXiv 2510.00304), as their code counts.

    Args:
        activations: ``examples x units``, finite.
        cosine: the threshold, in [0, 1).
    """
    directions = F.normalize(activations.double(), dim=0, eps=torch.finfo(torch.float64).tiny)
    alike = directions.T @ directions > cosine
    return float(alike.triu(diagonal=1).any(dim=1).double().mean())


def duplicate_rows(subject: Subject) -> Iterable[Row]:
    """Returns the duplicate fraction of each hidden layer, and of all units."""
    probe, cosine = subject.probe, subject.options.duplicate_cosine

    def of_layer(layer: LayerActivations, options: object) -> float:
        return duplicate_fraction(layer.by_unit, cosine)

    with recorded_activations(probe.network) as layers:
        probe.network(probe.inputs)
    metrics = {"duplicate_fraction": Metric(of_layer, weighted_mean)}
    return activation_rows(metrics, layers, probe.options, subject.note)
