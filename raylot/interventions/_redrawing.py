"""The base of methods that draw initial weights anew."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from raylot.foundation.errors import OptionError
from raylot.networks.initialisation import why_not_reinitialised
from raylot.training import Intervention


class Redrawing(Intervention):
    """Base of methods that draw initial weights anew."""

    name: ClassVar[str]

    def check(self, network: nn.Module) -> None:
        """Refuses a network that cannot be initialised anew.

        Raises:
            OptionError: the network cannot be initialised anew.
        """
        if reason := why_not_reinitialised(network):
            raise OptionError(
                f"intervention={self.name}: must go with a network that can be initialised anew; "
                f"here {reason}"
            )
