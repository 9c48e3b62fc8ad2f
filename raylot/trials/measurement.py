"""The measurement trial: measures snapshots of a stream, or trains fresh networks beside them."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from raylot import networks
from raylot.config import MeasurementRun
from raylot.foundation.names import WHOLE_NETWORK
from raylot.foundation.randomness import RandomKey
from raylot.trials.artifacts import initial_network, snapshot_path
from raylot.trials.learning import OnTasks, data_order


class MeasurementTrial(OnTasks):
    """One step measures one snapshot.

    A stream that diverged has left fewer snapshots than were asked for: the others are left out.
    """

    run_model = MeasurementRun
    run: MeasurementRun
    _built: nn.Module

    @property
    def _tasks(self) -> list[int]:
        """The tasks whose snapshots are measured, in the order in which they were asked for."""
        tasks, known = list[int](), set(self.state.extent.get("snapshots", ()))
        for target in self.state.targets:
            tasks += sorted(set(target["snapshots"]) - known)
            known |= set(tasks)
        return tasks

    @property
    def total_steps(self) -> int:
        return len(self._tasks)

    def doing(self) -> str:
        return f"snapshot {self.state.steps + 1} of {self.total_steps}"

    def begin(self) -> None:
        self._dataset = self.dataset()
        self._built = initial_network(self.run, self.task(0)).to(self.device)
        self._initial = self._built.state_dict()
        for t in self._tasks[: self.state.steps]:  # what was measured may have changed since
            self._read_snapshot(t)

    def tensors(self) -> dict[str, Any]:
        return {}

    def advance(self) -> dict[str, float]:
        t = self._tasks[self.state.steps]
        snapshot = self._read_snapshot(t)
        if snapshot is None:
            rows = []
        elif self.run.measured == "fresh_network":
            rows = [self._trainability_gap(t)]
        else:
            network = networks.with_state(self._built, snapshot)
            is_structure = self.run.measured == "structure"
            rows = self.measure(network, self.task(t), self._initial, built_in=is_structure)
        place = {"subnetwork": "dense", "stream_run_id": self.run.stream.run_id, "task": t}
        place["setting"] = self.run.setting or None
        self.state.add_rows("plasticity", [{**place, **row} for row in rows])
        if self.state.steps + 1 == self.total_steps:
            self.state.rows["plasticity"].sort(key=lambda row: row["task"])
        return {row["metric"]: row["value"] for row in rows if row["layer"] == WHOLE_NETWORK}

    def _read_snapshot(self, t: int) -> dict[str, Tensor] | None:
        """Reads the snapshot before task t; None if the stream diverged before it."""
        path = snapshot_path(self.run.stream.run_id, t)
        stream = self.producer(self.run.stream.run_id)
        if stream.status == "diverged" and path not in stream.artifacts:
            return None
        return self.read_input(path)

    def _trainability_gap(self, t: int) -> dict[str, Any]:
        """Trains a fresh network on task t, as the stream's network was trained."""
        (learned,) = (
            row for row in self.read_rows("tasks", self.run.stream.run_id) if row["task"] == t
        )
        task, key = self.task(t), RandomKey((self.run.seed, "fresh network", t))
        network = networks.build(self.run, task.input_shape, task.classes, key)
        fresh = self.train_on(t, task, network, data_order(self.run, t))
        if fresh.diverged:
            self.note("trainability_gap: NaN, as the training of a fresh network diverged")
        gap = fresh.test_accuracy - learned["test_accuracy"]
        return {"layer": WHOLE_NETWORK, "metric": "trainability_gap", "value": gap}
