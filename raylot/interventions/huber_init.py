"""Regularisation towards the initial parameters by Huber's loss."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from raylot.config import InterventionOptions
from raylot.training import Intervention, Training


class HuberInit(Intervention):
    """Adds strength x (sum of Huber losses of the distances to initial values) to the loss.

    Huber's loss of a distance d is d^2 / 2 up to |d| = 1, and |d| - 1/2 beyond: a form of
    regenerative regularisation (Kumar, Marklund & Van Roy 2023) that draws back no parameter
    harder than `L1Init` does. It is over all trainable parameters, as `L2Init`; the authors' code
    leaves those of layer normalisation out.
    """

    def __init__(self, options: InterventionOptions) -> None:
        self._strength = options.huber_strength

    def loss_term(self, training: Training) -> Tensor:
        losses = F.huber_loss(training.flat.vector, training.initial_vector, reduction="sum")
        return self._strength * losses


make = HuberInit
