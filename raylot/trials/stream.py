"""The stream trial: one network trained on one task after another, with snapshots on the way."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor, nn

from raylot import data, networks, plasticity
from raylot.config import StreamRun
from raylot.data import Task
from raylot.names import WHOLE_NETWORK
from raylot.randomness import RandomKey
from raylot.shifts import make_task
from raylot.storage import Storage
from raylot.training import TrainingResult, train
from raylot.trials.base import RunTrainable
from raylot.trials.state import tensors_to_bytes

_NETWORK, _OPTIMIZER = "network/", "optimizer/"


def snapshot_path(stream_run_id: str, task: int) -> str:
    """Where a stream's snapshot before a task lies in the storage."""
    return f"artifacts/{stream_run_id}/snapshot-{task}.safetensors"


def snapshot_tasks(storage: Storage, stream_run_id: str) -> list[int]:
    """The tasks of a stream's snapshots that lie in the storage."""
    names = storage.names(f"artifacts/{stream_run_id}")
    found = (re.fullmatch(r"snapshot-(\d+)\.safetensors", name) for name in names)
    return sorted(int(match[1]) for match in found if match)


class StreamTrial(RunTrainable):
    """One step trains on one task.

    Before a task with a snapshot, the network is saved and its plasticity measured; on that task
    a freshly initialised network is trained too, for the trainability gap.
    """

    run_model = StreamRun
    run: StreamRun
    _dataset: Task
    _network: nn.Module
    _optimizer_state: dict[str, Tensor] | None

    @property
    def total_steps(self) -> int:
        return self.run.tasks

    def doing(self) -> str:
        return f"task {self.state.steps + 1} of {self.run.tasks}"

    def begin(self) -> None:
        self._dataset = data.load(self.run).to(self.device)
        self._network = self._fresh_network("network").to(self.device)
        self._optimizer_state = None
        saved = self.state.tensors
        if saved:
            self._network.load_state_dict(_part(saved, _NETWORK))
            self._optimizer_state = _part(saved, _OPTIMIZER) or None

    def tensors(self) -> dict[str, Tensor]:
        network = {_NETWORK + name: t for name, t in self._network.state_dict().items()}
        optimizer = {_OPTIMIZER + name: t for name, t in (self._optimizer_state or {}).items()}
        return network | optimizer

    def advance(self) -> dict[str, float]:
        t = self.state.steps
        task = make_task(self._dataset, self.run, self.run.seed, t)
        structure: list[dict[str, Any]] = []
        fresh: TrainingResult | None = None
        if t in self.run.snapshots:
            snapshot = tensors_to_bytes(self._network.state_dict())
            self.storage.write(snapshot_path(self.run.run_id, t), snapshot)
            probe = RandomKey((self.run.seed, "probe"))
            structure = plasticity.measure(self._network, task, self.run, probe)
            if self.run.trainability_gap:
                fresh = self._train(self._fresh_network("fresh network", t), task)
                self.note_training(fresh)
        result = self._train(self._network, task, self._optimizer_state, learning_curve=True)
        self.note_training(result)
        self.state.diverged = result.diverged
        if self.run.carry_optimizer:
            self._optimizer_state = result.optimizer_state
        performance = {
            "test_accuracy": result.test_accuracy,
            "online_accuracy": result.online_accuracy,
            "learning_speed": result.learning_speed,
        }
        self.state.add_rows("tasks", [self._task_row(t, result)])
        if fresh:
            performance["trainability_gap"] = fresh.test_accuracy - result.test_accuracy
        if t in self.run.snapshots:
            whole = [
                {"layer": WHOLE_NETWORK, "metric": name, "value": value}
                for name, value in performance.items()
            ]
            self.state.add_rows("plasticity", [{"task": t, **row} for row in structure + whole])
        shown = {row["metric"]: row["value"] for row in structure if row["layer"] == WHOLE_NETWORK}
        return {**shown, **performance, "train_loss": result.train_loss, "task": t}

    def _fresh_network(self, *purpose: str | int) -> nn.Module:
        key = RandomKey((self.run.seed, *purpose))
        return networks.build(self.run, self._dataset.input_shape, self._dataset.classes, key)

    def _train(
        self,
        network: nn.Module,
        task: Task,
        optimizer_state: dict[str, Tensor] | None = None,
        *,
        learning_curve: bool = False,
    ) -> TrainingResult:
        return train(
            network.to(self.device),
            task,
            epochs=self.run.epochs,
            batch_size=self.run.batch_size,
            optimizer=self.run,
            key=RandomKey((self.run.seed, "stream", self.state.steps)),
            optimizer_state=optimizer_state,
            learning_curve=learning_curve,
        )

    def _task_row(self, t: int, result: TrainingResult) -> dict[str, Any]:
        return {
            "task": t,
            "subnetwork": "dense",
            "train_loss": result.train_loss,
            "online_accuracy": result.online_accuracy,
            "test_loss": result.test_loss,
            "test_accuracy": result.test_accuracy,
            "learning_speed": result.learning_speed,
        }


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
