"""Weight clipping: weights stay within a multiple of the initialisation's bound."""

from __future__ import annotations

import math

from torch import Tensor

from raylot.config import InterventionOptions
from raylot.networks.layers import weight_layers
from raylot.training import Intervention, Training


class WeightClipping(Intervention):
    """Clips weights and biases to +-factor / sqrt(fan-in) after each step (Elsayed et al. 2024).

    1 / sqrt(fan-in) bounds what PyTorch draws for linear and convolution layers; a bias has the
    fan-in of its layer's weight. Other parameters are left alone. The authors' code clips every
    parameter of one dimension by the weight before it, also the gain of a norm, which would start
    out of bounds; the networks of their streams have none.
    """

    def __init__(self, options: InterventionOptions) -> None:
        self._factor = options.clip_factor
        self._bounds: list[tuple[Tensor, float]] = []

    def after_step(self, training: Training) -> None:
        if training.step == 1:
            self._bounds = [
                (parameter.detach(), self._factor / math.sqrt(fan_in))
                for layer in weight_layers(training.network).values()
                for fan_in in [layer.get_parameter("weight")[0].numel()]
                for parameter in layer.parameters(recurse=False)
                if parameter.requires_grad
            ]
        for parameter, bound in self._bounds:
            parameter.clamp_(-bound, bound)


make = WeightClipping
