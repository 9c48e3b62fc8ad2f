"""L2 regularisation towards freshly drawn initial parameters."""

from __future__ import annotations

from torch import Tensor

from raylot.config import InterventionOptions
from raylot.interventions._redrawing import Redrawing
from raylot.training import Training


class ResampledInit(Redrawing):
    """Adds strength x (squared distance of the parameters from a fresh initialisation) to the loss.

    The resampled form of L2 Init (Kumar, Marklund & Van Roy 2023). As in the authors' code, every
    step draws a whole fresh network. On average over draws the gradient is that of a penalty
    around the initialisation's mean, 0 for weights and biases; the draws add noise of the
    initialisation's scale. It is without the factor 1/2, and over all trainable parameters, as
    `L2Init`.
    """

    name = "resampled_init"

    def __init__(self, options: InterventionOptions) -> None:
        self._strength = options.l2_strength

    def loss_term(self, training: Training) -> Tensor:
        fresh = training.fresh_vector(training.key.child("resampled", training.step))
        return self._strength * (training.flat.vector - fresh).square().sum()


make = ResampledInit
