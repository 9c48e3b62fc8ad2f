"""The base of methods that draw initial weights anew."""

from __future__ import annotations

from typing import ClassVar

from raylot.foundation.errors import OptionError
from raylot.networks.initialisation import why_not_reinitialised
from raylot.training import Intervention, Training


class Redrawing(Intervention):
    """Base of methods that draw initial weights anew."""

    name: ClassVar[str]

    def on_task_start(self, training: Training) -> None:
        """Refuses a network that cannot be initialised anew, before it is trained.

        Raises:
            OptionError: the network cannot be initialised anew.
        """
        if reason := why_not_reinitialised(training.network):
            raise OptionError(
                f"intervention={self.name}: must go with a network that can be initialised anew; "
                f"here {reason}"
            )
