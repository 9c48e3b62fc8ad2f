"""L1 regularisation towards the initial parameters."""

from __future__ import annotations

from raylot.config import InterventionOptions
from raylot.training import Penalty


class L1Init(Penalty):
    """Adds strength x (sum of |parameter - initial value|) to the loss.

    A form of regenerative regularisation (Kumar, Marklund & Van Roy 2023): it draws each parameter
    back equally hard, however far it has gone. It is over all trainable parameters, as `L2Init`;
    the authors' code leaves those of layer normalisation out.
    """

    to_initial = True
    function = "absolute"

    def __init__(self, options: InterventionOptions) -> None:
        self.strength = options.l1_strength


make = L1Init
