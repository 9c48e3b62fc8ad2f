"""The stream trial: trains one network on one task after another, with snapshots on the way."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from raylot import interventions, networks
from raylot.config import StreamRun
from raylot.foundation.names import WHOLE_NETWORK
from raylot.foundation.randomness import RandomKey
from raylot.tasks import Task, make_task
from raylot.training import TrainingResult, train
from raylot.trials.artifacts import initial_network, snapshot_path
from raylot.trials.base import RunTrainable

_NETWORK, _OPTIMIZER = "network/", "optimizer/"


def pack(network: nn.Module, optimizer_state: dict[str, Tensor] | None) -> dict[str, Tensor]:
    """Joins a network's and an optimizer's tensors to one dictionary, for the saved state."""
    tensors = {_NETWORK + name: tensor for name, tensor in network.state_dict().items()}
    return tensors | {_OPTIMIZER + name: t for name, t in (optimizer_state or {}).items()}


def unpack(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
    """Undoes `pack`: returns a network's state dict, and the optimizer's state or None."""
    return _part(tensors, _NETWORK), _part(tensors, _OPTIMIZER) or None


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def task_row(t: int, result: TrainingResult) -> dict[str, Any]:
    """Returns a training as a row of ``tasks``, without the columns that name the learner."""
    return {
        "task": t,
        "train_loss": result.train_loss,
        "online_accuracy": result.online_accuracy,
        "test_loss": result.test_loss,
        "test_accuracy": result.test_accuracy,
        "learning_speed": result.learning_speed,
    }


class LearningTrial(RunTrainable):
    """One step trains one network on one task of a stream.

    Only the network's state dict goes from task to task. Anything else that a network keeps (a
    counter, a cached tensor, a buffer that is not persistent) is, at each task, as it was when the
    network was built. So an interrupted stream gives the same results as an uninterrupted one.
    """

    _dataset: Task
    _built: nn.Module
    _network: nn.Module
    _initial: dict[str, Tensor]
    _optimizer_state: dict[str, Tensor] | None

    def tensors(self) -> dict[str, Tensor]:
        return pack(self._network, self._optimizer_state)

    def renewed(self) -> nn.Module:
        """Returns the network as it was built, with its present state dict."""
        return networks.with_state(self._built, self._network.state_dict())

    def task(self, t: int) -> Task:
        """Returns task t of the stream, counted from 0."""
        return make_task(self._dataset, self.run, self.run.seed, t)


class StreamTrial(LearningTrial):
    """One step trains on one task.

    Before a task with a snapshot, it saves the network and measures its plasticity; on that task
    it also trains a freshly initialised network, for the trainability gap.
    """

    run_model = StreamRun
    run: StreamRun

    @property
    def total_steps(self) -> int:
        return self.run.tasks

    def doing(self) -> str:
        return f"task {self.state.steps + 1} of {self.run.tasks}"

    def begin(self) -> None:
        self._dataset = self.dataset()
        task = self.task(0)
        self._built = initial_network(self.run, task).to(self.device)
        self._initial = self._built.state_dict()
        state, self._optimizer_state = self._initial, None
        if self.state.tensors:
            state, self._optimizer_state = unpack(self.state.tensors)
        self._network = networks.with_state(self._built, state)

    def advance(self) -> dict[str, float]:
        t = self.state.steps
        task = self.task(t)
        previous = self.task(t - 1) if t and self.run.gradual else None
        structure: list[dict[str, Any]] = []
        fresh: TrainingResult | None = None
        if t in self.run.snapshots:
            self.write_artifact(snapshot_path(self.run.run_id, t), self._network.state_dict())
            structure = self.measure_structure(self.renewed(), task, self._initial, None)
            if self.run.trainability_gap:
                key = RandomKey((self.run.seed, "fresh network", t))
                network = networks.build(self.run, task.input_shape, task.classes, key)
                fresh = self._train(network, task, previous)
                self.note_training(fresh)
        self._network = self.renewed()
        result = self._train(self._network, task, previous, life=True)
        self.note_training(result)
        self.state.diverged = result.diverged
        if self.run.carry_optimizer:
            self._optimizer_state = result.optimizer_state
        performance = {
            "test_accuracy": result.test_accuracy,
            "online_accuracy": result.online_accuracy,
            "learning_speed": result.learning_speed,
        }
        own = {"subnetwork": "dense", "stream_run_id": self.run.run_id}
        self.state.add_rows("tasks", [{**own, **task_row(t, result)}])
        if fresh:
            performance["trainability_gap"] = fresh.test_accuracy - result.test_accuracy
            if fresh.diverged:
                self.note("trainability_gap: NaN, as the training of a fresh network diverged")
        if t in self.run.snapshots:
            structure += [
                {"layer": WHOLE_NETWORK, "metric": name, "value": value}
                for name, value in performance.items()
            ]
            self.state.add_rows("plasticity", [{**own, "task": t, **row} for row in structure])
        whole = {row["metric"]: row["value"] for row in structure if row["layer"] == WHOLE_NETWORK}
        losses = {"train_loss": result.train_loss, "test_loss": result.test_loss}
        return {**whole, **performance, **losses}

    def _train(
        self, network: nn.Module, task: Task, previous: Task | None, *, life: bool = False
    ) -> TrainingResult:
        """Trains the stream's network (``life``), or a fresh network for comparison."""
        return train(
            network.to(self.device),
            task,
            epochs=self.run.epochs,
            batch_size=self.run.batch_size,
            drop_last=self.run.drop_last,
            optimizer=self.run,
            key=RandomKey((self.run.seed, "stream", self.state.steps)),
            previous=previous,
            gradual=self.run.gradual,
            optimizer_state=self._optimizer_state if life else None,
            learning_curve=life,
            intervention=interventions.make(self.run) if life else None,
            initial=self._initial,
            whole_task=life,
            engine=self.run.engine,
        )
