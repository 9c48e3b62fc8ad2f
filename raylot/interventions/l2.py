"""L2 regularisation of all parameters."""

from __future__ import annotations

from torch import Tensor

from raylot.config import InterventionOptions
from raylot.training import Intervention, Training


class L2(Intervention):
    """Adds strength x (sum of squared parameters) to the loss.

    Without the factor 1/2: the gradient is 2 x strength x parameter, twice that of PyTorch's
    ``weight_decay`` of the same number.
    """

    def __init__(self, options: InterventionOptions) -> None:
        self._strength = options.l2_strength

    def loss_term(self, training: Training) -> Tensor:
        return self._strength * training.flat.vector.square().sum()


make = L2
