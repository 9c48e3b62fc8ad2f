"""Parseval regularisation: the rows of each weight matrix stay orthogonal and as long."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from raylot.config import InterventionOptions
from raylot.foundation.errors import OptionError
from raylot.networks.layers import weight_layers
from raylot.training import Intervention, Training

#: The width for which the authors tuned the strength.
_WIDTH = 64


class Parseval(Intervention):
    """Adds strength x (sum over layers of (64 / rows)^2 |W W^T - scale I|^2) to the loss.

    |.| is the Frobenius norm, and W the weight of a linear or convolution layer as a matrix with a
    row per output unit or channel; the last layer is left out (Chung et al.
    2024). Their networks have one width and start with orthogonal rows of length sqrt(scale).
    raylot's start with PyTorch's initialisation, and a layer with more rows than columns never
    has orthogonal ones, so the term is not 0 at the start.

    In a masked network W is the matrix with which the network computes, pruned weights included.
    """

    def __init__(self, options: InterventionOptions) -> None:
        self._strength, self._scale = options.parseval_strength, options.parseval_scale
        self._weights: list[Tensor] = []

    def check(self, network: nn.Module) -> None:
        """Refuses a network without hidden layers.

        Raises:
            OptionError: the network has one layer alone.
        """
        if len(weight_layers(network)) < 2:
            raise OptionError(
                "intervention=parseval: must go with a network of two or more linear or "
                "convolution layers, as it leaves the last one out"
            )

    def loss_term(self, training: Training) -> Tensor:
        if training.step == 0:
            *layers, _ = weight_layers(training.network).values()
            self._weights = [layer.get_parameter("weight") for layer in layers]
        terms = []
        for weight in self._weights:
            matrix = weight.flatten(1)
            excess = matrix @ matrix.T - self._scale * torch.eye(len(matrix), device=matrix.device)
            terms.append((_WIDTH / len(matrix)) ** 2 * excess.square().sum())
        return self._strength * torch.stack(terms).sum()


make = Parseval
