"""L2 regularisation towards the initial parameters."""

from __future__ import annotations

from torch import Tensor

from raylot.config import InterventionOptions
from raylot.training import Intervention, Training


class L2Init(Intervention):
    """Adds strength x (squared distance of the parameters from their initial values) to the loss.

    Regenerative regularisation (Kumar, Marklund & Van Roy 2023), in that paper's convention
    without the factor 1/2. Initial means at the start of the stream, not of the task.
    """

    def __init__(self, options: InterventionOptions) -> None:
        self._strength = options.l2_strength

    def loss_term(self, training: Training) -> Tensor:
        return self._strength * (training.flat.vector - training.initial_vector).square().sum()


make = L2Init
