"""The ticket stream trial: trains one subnetwork of a snapshot on the tasks that follow."""

from __future__ import annotations

from typing import Any

from raylot.config import TicketStreamRun
from raylot.foundation.names import RANDOM, REINIT, WHOLE_NETWORK
from raylot.foundation.randomness import RandomKey
from raylot.masks.pruning import remarks_on_emptied, zero_pruned
from raylot.networks.initialisation import reinitialised
from raylot.tickets import TicketSearch, masks_from_tensors
from raylot.training import Masks
from raylot.trials.artifacts import masks_path, snapshot_path, start_search
from raylot.trials.learning import LearningTrial, Measures


class TicketStreamTrial(LearningTrial):
    """One step trains the subnetwork on one of the tasks after the snapshot's.

    All subnetworks of a snapshot see the same tasks in the same data order. The trial measures
    plasticity before the first and before the last of these tasks.
    """

    run_model = TicketStreamRun
    run: TicketStreamRun
    _masks: Masks | None

    @property
    def total_steps(self) -> int:
        return self.run.ticket_tasks

    def begin(self) -> None:
        self._dataset = self.dataset()
        snapshot = self.read_input(snapshot_path(self.run.stream.run_id, self.run.task))
        search = start_search(self.run, self._dataset, snapshot)
        self._initial = dict(search.initial or {})
        self._masks = self._subnetwork_masks(search)
        for remark in remarks_on_emptied([self._masks]) if self._masks else ():
            self.note(remark)
        if self.run.subnetwork == REINIT:
            key = RandomKey((self.run.seed, "reinit ticket stream", self.run.task, self.run.ticket))
            self._initial = dict(reinitialised(search.network, key).state_dict())
        state = self._initial
        if self.run.subnetwork != REINIT and not self.state.tensors:
            state = search.start_state(self.run.ticket)
        self.start_from(search.network, state)
        if self._masks and self.run.masked == "zero":
            zero_pruned(self._network, self._masks)  # before plasticity is measured

    def advance(self) -> Measures:
        t = self.run.task + 1 + self.state.steps
        task = self.task(t)
        structure: Measures = {}
        if self.state.steps in (0, self.run.ticket_tasks - 1):
            rows = self.measure(self.renewed(), task, self._initial, masks=self._masks)
            self.state.add_rows("plasticity", [{**self._place(), "task": t, **row} for row in rows])
            structure = {r["metric"]: r["value"] for r in rows if r["layer"] == WHOLE_NETWORK}
        key = RandomKey((self.run.seed, "ticket stream", t, self.run.ticket))
        learned = self.learn(t, task, key, masks=self._masks, masked=self.run.masked)
        self.state.add_rows("tasks", [{**self._place(), "task": t, **learned}])
        return {**structure, **learned}

    def _subnetwork_masks(self, search: TicketSearch) -> Masks | None:
        """Returns the masks of the subnetwork; None for the dense network."""
        if self.run.subnetwork == "dense":
            return None
        ticket = self.run.ticket
        tensors = self.read_input(masks_path(self.run.search.run_id, ticket))
        search.masks[ticket] = masks_from_tensors(tensors, like=search.masks[0])[ticket]
        if self.run.subnetwork == RANDOM:
            return search.control_masks(RANDOM, ticket)
        return search.masks[ticket]

    def _place(self) -> dict[str, Any]:
        dense = self.run.subnetwork == "dense"
        return {
            "subnetwork": self.run.subnetwork,
            "stream_run_id": self.run.stream.run_id,
            "snapshot": self.run.task,
            "sparsity": None if dense else self.run.sparsity,
            "ticket": None if dense else self.run.ticket,
        }
