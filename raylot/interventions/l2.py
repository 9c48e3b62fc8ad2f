"""L2 regularisation of all parameters."""

from __future__ import annotations

from raylot.config import InterventionOptions
from raylot.training import Penalty


class L2(Penalty):
    """Adds strength x (sum of squared parameters) to the loss.

    Without the factor 1/2: the gradient is 2 x strength x parameter, twice that of PyTorch's
    ``weight_decay`` of the same number.
    """

    def __init__(self, options: InterventionOptions) -> None:
        self.strength = options.l2_strength


make = L2
