"""FIRE: orthogonal weight matrices for each new task."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from raylot.networks.layers import by_kernel_position, weight_layers
from raylot.training import Intervention, Training

#: Steps of the Newton-Schulz iteration, as in the authors' code.
_ITERATIONS = 10


class FIRE(Intervention):
    """Replaces each weight matrix W after each task by the nearest one with orthonormal rows.

    Rows, or columns if W has more of these: W <- sqrt(outputs / inputs) x NS(W), with 10
    Newton-Schulz steps X <- 1.5 X - 0.5 X X^T X from X = W / |W|. A convolution has a matrix for
    each place of its kernel, divided by their number (FIRE, 2026, arXiv 2602.08040;
    isaac7778/FIRE, vision/interventions/fire.py). The optimizer starts over, as in their code.

    It acts on linear and convolution layers, the last included; their code spares those of vision
    transformers but for queries and keys. Pruned weights count with the value that they have, and
    keep it, so the matrix of a masked layer is orthogonal only before that.
    """

    @torch.no_grad()
    def on_task_end(self, training: Training) -> None:
        for layer in weight_layers(training.network).values():
            weight = layer.get_parameter("weight")
            weight.copy_(orthogonalised(weight))
        training.reset_optimizer()


def orthogonalised(weight: Tensor) -> Tensor:
    """Returns the weight of a linear or convolution layer made orthogonal; 0 remains 0."""
    matrices = by_kernel_position(weight).permute(2, 0, 1)
    places, outputs, inputs = matrices.shape
    norms = torch.linalg.matrix_norm(matrices, keepdim=True)
    found = matrices / norms.clamp_min(torch.finfo(weight.dtype).tiny)
    if inputs > outputs:  # the smaller Gram matrix
        found = found.mT
    for _ in range(_ITERATIONS):
        found = 1.5 * found - 0.5 * found @ (found.mT @ found)
    if inputs > outputs:
        found = found.mT
    scaled: Tensor = found * (math.sqrt(outputs / inputs) / places)
    return scaled.permute(1, 2, 0).reshape(weight.shape)


def make(_: object) -> FIRE:
    """Makes the method, which has no options."""
    return FIRE()
