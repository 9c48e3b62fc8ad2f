"""The base of the trials that train or measure a subnetwork of a snapshot."""

from __future__ import annotations

from typing import Any

from raylot.config import TicketStreamRun
from raylot.foundation.names import RANDOM, REINIT
from raylot.foundation.randomness import RandomKey
from raylot.networks.initialisation import reinitialised
from raylot.tickets import TicketSearch, masks_from_tensors
from raylot.training import Masks
from raylot.trials.artifacts import masks_path, snapshot_path, start_search
from raylot.trials.on_tasks import OnTasks


class OnSubnetwork(OnTasks):
    """A trial of a ticket, of a control, or of the dense network of a snapshot."""

    run: TicketStreamRun
    _search: TicketSearch

    def prepare(self) -> None:
        """Reads the snapshot and the ticket's masks, and builds the network."""
        self._dataset = self.dataset()
        snapshot = self.read_input(snapshot_path(self.run.stream.run_id, self.run.task))
        self._search = start_search(self.run, self._dataset, snapshot)
        self._built = self._search.network
        self._masks = self._subnetwork_masks()
        self._initial = dict(self._search.initial or {})
        if self.run.subnetwork == REINIT:
            key = RandomKey((self.run.seed, "reinit ticket stream", self.run.task, self.run.ticket))
            self._initial = dict(reinitialised(self._built, key).state_dict())

    def whose(self) -> dict[str, Any]:
        dense = self.run.subnetwork == "dense"
        return {
            "subnetwork": self.run.subnetwork,
            "stream_run_id": self.run.stream.run_id,
            "snapshot": self.run.task,
            "sparsity": None if dense else self.run.sparsity,
            "ticket": None if dense else self.run.ticket,
        }

    def _subnetwork_masks(self) -> Masks | None:
        """Returns the masks of the subnetwork; None for the dense network."""
        if self.run.subnetwork == "dense":
            return None
        search, ticket = self._search, self.run.ticket
        tensors = self.read_input(masks_path(self.run.search.run_id, ticket))
        search.masks[ticket] = masks_from_tensors(tensors, like=search.masks[0])[ticket]
        if self.run.subnetwork == RANDOM:
            return search.control_masks(RANDOM, ticket)
        return search.masks[ticket]
