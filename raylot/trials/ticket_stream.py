"""The ticket stream trial: trains one subnetwork of a snapshot on the tasks that follow."""

from __future__ import annotations

from typing import Any

from raylot import interventions, networks
from raylot.config import TicketStreamRun
from raylot.foundation.names import WHOLE_NETWORK
from raylot.foundation.randomness import RandomKey
from raylot.masks.pruning import remarks_on_emptied, zero_pruned
from raylot.networks.initialisation import reinitialised
from raylot.tickets import RANDOM, REINIT, TicketSearch, masks_from_tensors
from raylot.training import Masks, train
from raylot.trials.artifacts import masks_path, snapshot_path, start_search
from raylot.trials.stream import LearningTrial, task_row, unpack


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

    def doing(self) -> str:
        return f"task {self.state.steps + 1} of {self.run.ticket_tasks}"

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
        self._built = search.network
        self._optimizer_state = None
        if self.state.tensors:
            state, self._optimizer_state = unpack(self.state.tensors)
        elif self.run.subnetwork == REINIT:
            state = self._initial
        else:
            state = search.start_state(self.run.ticket)
        self._network = networks.with_state(self._built, state)
        if self._masks and self.run.masked == "zero":
            zero_pruned(self._network, self._masks)  # before plasticity is measured

    def advance(self) -> dict[str, float]:
        t = self.run.task + 1 + self.state.steps
        task = self.task(t)
        structure: dict[str, float] = {}
        if self.state.steps in (0, self.run.ticket_tasks - 1):
            rows = self.measure_structure(self.renewed(), task, self._initial, self._masks)
            self.state.add_rows("plasticity", [{**self._place(), "task": t, **row} for row in rows])
            structure = {r["metric"]: r["value"] for r in rows if r["layer"] == WHOLE_NETWORK}
        self._network = self.renewed()
        result = train(
            self._network,
            task,
            epochs=self.run.epochs,
            batch_size=self.run.batch_size,
            drop_last=self.run.drop_last,
            optimizer=self.run,
            key=RandomKey((self.run.seed, "ticket stream", t, self.run.ticket)),
            masks=self._masks,
            masked=self.run.masked,
            previous=self.task(t - 1) if self.run.gradual else None,
            gradual=self.run.gradual,
            optimizer_state=self._optimizer_state,
            learning_curve=True,
            intervention=interventions.make(self.run),
            initial=self._initial,
            whole_task=True,
            engine=self.run.engine,
        )
        self.note_training(result)
        self.state.diverged = result.diverged
        if self.run.carry_optimizer:
            self._optimizer_state = result.optimizer_state
        self.state.add_rows("tasks", [{**self._place(), **task_row(t, result)}])
        return {
            **structure,
            "test_accuracy": result.test_accuracy,
            "online_accuracy": result.online_accuracy,
            "train_loss": result.train_loss,
            "test_loss": result.test_loss,
        }

    def _subnetwork_masks(self, search: TicketSearch) -> Masks | None:
        """Returns the masks of the subnetwork; None for the dense network."""
        if self.run.subnetwork == "dense":
            return None
        tensors = self.read_input(masks_path(self.run.search.run_id))
        search.masks = masks_from_tensors(tensors, like=search.masks[0])
        if self.run.subnetwork == RANDOM:
            return search.control_masks(RANDOM, self.run.ticket)
        return search.masks[self.run.ticket]

    def _place(self) -> dict[str, Any]:
        dense = self.run.subnetwork == "dense"
        return {
            "subnetwork": self.run.subnetwork,
            "stream_run_id": self.run.stream.run_id,
            "snapshot": self.run.task,
            "sparsity": None if dense else self.run.sparsity,
            "ticket": None if dense else self.run.ticket,
        }
