"""L1 regularisation towards the initial parameters."""

from __future__ import annotations

from torch import Tensor

from raylot.config import InterventionOptions
from raylot.training import Intervention, Training


class L1Init(Intervention):
    """Adds strength x (sum of |parameter - initial value|) to the loss.

    A form of regenerative regularisation (Kumar, Marklund & Van Roy 2023): it draws each parameter
    back equally hard, however far it has gone. It is over all trainable parameters, as `L2Init`;
    the authors' code leaves those of layer normalisation out.
    """

    def __init__(self, options: InterventionOptions) -> None:
        self._strength = options.l1_strength

    def loss_term(self, training: Training) -> Tensor:
        return self._strength * (training.flat.vector - training.initial_vector).abs().sum()


make = L1Init
