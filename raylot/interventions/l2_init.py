"""L2 regularisation towards the initial parameters."""

from __future__ import annotations

from raylot.config import InterventionOptions
from raylot.training import Penalty


class L2Init(Penalty):
    """Adds strength x (squared distance of the parameters from their initial values) to the loss.

    Regenerative regularisation (Kumar, Marklund & Van Roy 2023), in that paper's convention
    without the factor 1/2. Initial means at the start of the stream, not of the task.
    """

    to_initial = True

    def __init__(self, options: InterventionOptions) -> None:
        self.strength = options.l2_strength


make = L2Init
