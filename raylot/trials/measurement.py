"""The trials that measure snapshots of a stream or ticket stream.

To measure the trainability gap, a trial trains fresh networks beside the snapshots.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from raylot import networks, plasticity
from raylot.config import MeasurementRun, TicketMeasurementRun
from raylot.config.measurement_run import MeasuringRun
from raylot.foundation.names import WHOLE_NETWORK
from raylot.foundation.randomness import RandomKey
from raylot.trials.artifacts import snapshot_path
from raylot.trials.base import InputLostError
from raylot.trials.on_tasks import OnTasks, data_order
from raylot.trials.subnetwork import OnSubnetwork

#: In place of the fingerprint of a snapshot that a diverged stream has not left.
_NOT_THERE = "not there"


class MeasurementTrial(OnTasks):
    """One step measures one snapshot.

    A stream that diverged has left fewer snapshots than were asked for: the others are left out.
    """

    run_model: ClassVar[type[MeasuringRun]] = MeasurementRun
    run: MeasurementRun | TicketMeasurementRun

    @property
    def _tasks(self) -> list[int]:
        """The tasks whose snapshots are measured, in the order in which they were asked for."""
        snapshots = list[int]()
        known = set(self.run.along(self.state.extent).get("snapshots", ()))
        for target in self.state.targets:
            snapshots += sorted(set(self.run.along(target)["snapshots"]) - known)
            known |= set(snapshots)
        return [self.run.first_task + snapshot for snapshot in snapshots]

    @property
    def total_steps(self) -> int:
        return len(self._tasks)

    def doing(self) -> str:
        return f"snapshot {self.state.steps + 1} of {self.total_steps}"

    def begin(self) -> None:
        self.prepare()
        known = self.run.along(self.state.extent).get("snapshots", ())
        measured = [self.run.first_task + snapshot for snapshot in known]
        for t in [*measured, *self._tasks[: self.state.steps]]:  # it may have changed since
            self._read_snapshot(t)

    def tensors(self) -> dict[str, Any]:
        return {}

    def place(self) -> int:
        before = self.run.first_task - 1
        return max(self._tasks[: self.state.steps][-1:], default=before) - before

    def advance(self) -> dict[str, float]:
        t = self._tasks[self.state.steps]
        snapshot = self._read_snapshot(t)
        if t != self._tasks[self.state.steps]:  # the snapshot had changed: the run starts anew
            return self.advance()
        if snapshot is None:
            rows = []
        elif self.run.measured == "fresh_network":
            rows = [self._trainability_gap(t)]
        else:
            network = networks.with_state(self._built, snapshot)
            built_in = plasticity.GROUPS.get(self.run.measured, ())
            rows = self.measure(
                network, self.task(t), self._initial, masks=self._masks, built_in=built_in
            )
        place = {**self.whose(), "task": t, "setting": self.run.setting or None}
        self.state.add_rows("plasticity", [{**place, **row} for row in rows])
        if self.state.steps + 1 == self.total_steps:
            self.state.rows["plasticity"].sort(key=lambda row: row["task"])
        return {row["metric"]: row["value"] for row in rows if row["layer"] == WHOLE_NETWORK}

    def _read_snapshot(self, t: int) -> dict[str, Tensor] | None:
        """Reads the snapshot before task t; None if a stream that diverged has not left it."""
        path = snapshot_path(self.run.learner.run_id, t)
        learner = self.producer(self.run.learner.run_id)
        if learner.status == "diverged" and path not in learner.artifacts:
            if self.state.inputs.get(path, _NOT_THERE) != _NOT_THERE:
                self._start_anew()
            self.state.inputs[path] = _NOT_THERE  # if it is later, the measurement is out of date
            return None
        return self.read_input(path)

    def _trainability_gap(self, t: int) -> dict[str, Any]:
        """Trains a fresh network on task t, as the stream's network was trained."""
        run_id = self.run.stream.run_id
        learned = next((r for r in self.read_rows("tasks", run_id) if r["task"] == t), None)
        if learned is None:
            raise InputLostError(run_id, f"tables/tasks: has no row of task {t}")
        task, key = self.task(t), RandomKey((self.run.seed, "fresh network", t))
        network = networks.build(self.run, task.input_shape, task.classes, key)
        fresh = self.train_on(t, task, network, data_order(self.run, t))
        if fresh.diverged:
            self.note("trainability_gap: NaN, as the training of a fresh network diverged")
        gap = fresh.test_accuracy - learned["test_accuracy"]
        return {"layer": WHOLE_NETWORK, "metric": "trainability_gap", "value": gap}


class TicketMeasurementTrial(OnSubnetwork, MeasurementTrial):
    """One step measures one snapshot of a ticket stream."""

    run_model = TicketMeasurementRun
    run: TicketMeasurementRun
