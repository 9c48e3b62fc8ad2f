"""The ticket stream trial: trains one subnetwork of a snapshot on the tasks that follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from raylot import networks
from raylot.config import TicketStreamRun
from raylot.foundation.names import REINIT
from raylot.foundation.randomness import RandomKey
from raylot.masks.pruning import remarks_on_emptied, zero_pruned
from raylot.trials.stream import Measures, StreamTrial
from raylot.trials.subnetwork import OnSubnetwork


class TicketStreamTrial(OnSubnetwork, StreamTrial):
    """One step trains the subnetwork on one of the tasks after the snapshot's.

    All subnetworks of a snapshot see the same tasks in the same data order.
    """

    run_model = TicketStreamRun
    run: TicketStreamRun

    def prepare(self) -> None:
        super().prepare()
        for remark in remarks_on_emptied([self._masks]) if self._masks else ():
            self.note(remark)

    def start_state(self) -> Mapping[str, Tensor]:
        is_new = self.run.subnetwork == REINIT
        state = self._initial if is_new else self._search.start_state(self.run.ticket)
        if not self._masks or self.run.masked == "freeze":
            return state
        network = networks.with_state(self._built, state)
        zero_pruned(network, self._masks)  # before plasticity is measured
        return network.state_dict()

    def order(self, t: int) -> RandomKey:
        return RandomKey((self.run.seed, "ticket stream", t, self.run.ticket))

    def how_to_train(self) -> dict[str, Any]:
        return {"masks": self._masks, "masked": self.run.masked}

    def performance(self, t: int, learned: Measures) -> list[dict[str, Any]]:
        return []  # its rows of ``tasks`` say it
