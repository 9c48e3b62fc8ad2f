"""Regularisation towards the initial parameters by Huber's loss."""

from __future__ import annotations

from raylot.config import InterventionOptions
from raylot.training import Penalty


class HuberInit(Penalty):
    """Adds strength x (sum of Huber losses of the distances to initial values) to the loss.

    Huber's loss of a distance d is d^2 / 2 up to |d| = 1, and |d| - 1/2 beyond: a form of
    regenerative regularisation (Kumar, Marklund & Van Roy 2023) that draws back no parameter
    harder than `L1Init` does. It is over all trainable parameters, as `L2Init`; the authors' code
    leaves those of layer normalisation out.
    """

    to_initial = True
    function = "huber"

    def __init__(self, options: InterventionOptions) -> None:
        self.strength = options.huber_strength


make = HuberInit
