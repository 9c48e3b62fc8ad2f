"""Saturated units: those through which almost no gradient flows, whatever the example."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from raylot.plasticity.activations import LayerActivations, activation_rows, recorded_activations
from raylot.plasticity.metric import Metric, Row, are_finite, weighted_mean
from raylot.plasticity.probe import Subject
from raylot.training.losses import loss_of

#: A unit is saturated if more than this share of the examples saturates it.
_SHARE = 0.99

#: The least mean |z|, for units whose pre-activation is always 0.
_LEAST = 1e-12


def saturated_fraction(magnitude: Tensor, gradient: Tensor, threshold: float) -> float:
    """Returns the fraction of saturated units, in [0, 1].

    With z the pre-activation of a unit and L an example's own loss, the example saturates the unit
    if |dL/dz| < threshold x mean |z|, a mean over all examples. A unit is saturated if more than
    99% of the examples do so: a ReLU that is never positive, a tanh far from 0, and a unit that
    the loss does not depend on.

    Joudaki et al. (2025, arXiv 2510.00304). Their code differentiates the mean loss of N examples,
    so its ratios are N times smaller: their threshold is this one divided by N. It looks at the
    outputs of all modules; those of the activation functions themselves, whose gradients do not
    tell a saturated unit, are not looked at here.

    Args:
        magnitude: mean |z| of each unit, ``units``.
        gradient: dL/dz, ``examples x units``, finite.
        threshold: in z's unit per nat, greater than 0.
    """
    is_flat = gradient.double().abs() < threshold * magnitude.double().clamp_min(_LEAST)
    return float((is_flat.double().mean(dim=0) > _SHARE).double().mean())


def saturation_rows(subject: Subject) -> Iterable[Row]:
    """Returns the saturated fraction of each hidden layer, and of all units."""
    probe, threshold = subject.probe, subject.options.saturation_threshold

    # Gradients reach what comes before the first trainable parameter too.
    inputs = probe.inputs.detach().clone().requires_grad_()
    with recorded_activations(probe.network, pre_activations=True) as layers:
        loss = loss_of(subject.task, probe.network(inputs), probe.labels, reduction="sum")
    torch.autograd.grad(loss, [inputs, *probe.trainable.values()], allow_unused=True)
    gradients = [layer.before.gradient for layer in layers.values() if layer.before is not None]
    finite = are_finite("gradients", gradients, subject.note)

    def of_layer(layer: LayerActivations, options: object) -> float:
        assert layer.before is not None
        found = saturated_fraction(layer.before.magnitude, layer.before.gradient, threshold)
        return found if finite else math.nan

    metrics = {"saturated_fraction": Metric(of_layer, weighted_mean)}
    return activation_rows(metrics, layers, probe.options, subject.note)
