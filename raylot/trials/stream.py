"""The stream trial: trains one network on one task after another, with snapshots on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from raylot import interventions, networks
from raylot.config import StreamRun
from raylot.foundation.names import PERFORMANCE, WHOLE_NETWORK
from raylot.foundation.randomness import RandomKey
from raylot.tasks import Task, make_task
from raylot.training import TrainingResult, train
from raylot.trials.artifacts import initial_network, snapshot_path
from raylot.trials.base import RunTrainable

#: Beginnings of the names of a network's and an optimizer's tensors in a saved state.
_NETWORK, _OPTIMIZER = "network/", "optimizer/"

#: What a trial measures of each training: columns of ``tasks``.
_MEASURES = ("train_loss", "online_accuracy", "test_loss", "test_accuracy", "learning_speed")
Measures = dict[str, float]


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


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

    def doing(self) -> str:
        return f"task {self.state.steps + 1} of {self.total_steps}"

    def tensors(self) -> dict[str, Tensor]:
        optimizer = self._optimizer_state or {}
        tensors = {_NETWORK + name: tensor for name, tensor in self._network.state_dict().items()}
        return tensors | {_OPTIMIZER + name: tensor for name, tensor in optimizer.items()}

    def start_from(self, built: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Begins with a state dict, or with the saved state if there is one."""
        saved = self.state.tensors
        self._built, self._optimizer_state = built, _part(saved, _OPTIMIZER) or None
        self._network = networks.with_state(built, _part(saved, _NETWORK) or state)

    def renewed(self) -> nn.Module:
        """Returns the network as it was built, with its present state dict."""
        return networks.with_state(self._built, self._network.state_dict())

    def task(self, t: int) -> Task:
        """Returns task t of the stream, counted from 0."""
        return make_task(self._dataset, self.run, self.run.seed, t)

    def train_on(
        self, t: int, task: Task, network: nn.Module, key: RandomKey, **options: Any
    ) -> TrainingResult:
        """Trains a network on task t as the run's options say, and counts the training."""
        result = train(
            network.to(self.device),
            task,
            epochs=self.run.epochs,
            batch_size=self.run.batch_size,
            drop_last=self.run.drop_last,
            optimizer=self.run,
            key=key,
            previous=self.task(t - 1) if t and self.run.gradual else None,
            gradual=self.run.gradual,
            initial=self._initial,
            engine=self.run.engine,
            **options,
        )
        self.note_training(result)
        return result

    def learn(
        self, t: int, task: Task, key: RandomKey, learner: Mapping[str, Any], **options: Any
    ) -> Measures:
        """Trains the trial's network on task t; adds the row of ``tasks``.

        Args:
            t, task: the task's number, and its data.
            key: of the data order.
            learner: the columns that name the learner.
            options: of the training.
        """
        self._network = self.renewed()
        result = self.train_on(
            t,
            task,
            self._network,
            key,
            optimizer_state=self._optimizer_state,
            learning_curve=True,
            intervention=interventions.make(self.run),
            whole_task=True,
            **options,
        )
        self.state.diverged = result.diverged
        if self.run.carry_optimizer:
            self._optimizer_state = result.optimizer_state
        measures = {name: getattr(result, name) for name in _MEASURES}
        self.state.add_rows("tasks", [{**learner, "task": t, **measures}])
        return measures


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

    def begin(self) -> None:
        self._dataset = self.dataset()
        built = initial_network(self.run, self.task(0)).to(self.device)
        self._initial = built.state_dict()
        self.start_from(built, self._initial)

    def advance(self) -> Measures:
        t = self.state.steps
        task, key = self.task(t), RandomKey((self.run.seed, "stream", t))
        learner = {"subnetwork": "dense", "stream_run_id": self.run.run_id}
        if t not in self.run.snapshots:
            return self.learn(t, task, key, learner)
        self.write_artifact(snapshot_path(self.run.run_id, t), self._network.state_dict())
        structure = self.measure_structure(self.renewed(), task, self._initial, None)
        fresh: TrainingResult | None = None
        if self.run.trainability_gap:
            fresh_key = RandomKey((self.run.seed, "fresh network", t))
            network = networks.build(self.run, task.input_shape, task.classes, fresh_key)
            fresh = self.train_on(t, task, network, key)
        learned = self.learn(t, task, key, learner)
        performance = {name: learned[name] for name in PERFORMANCE if name in learned}
        if fresh:
            performance["trainability_gap"] = fresh.test_accuracy - learned["test_accuracy"]
            if fresh.diverged:
                self.note("trainability_gap: NaN, as the training of a fresh network diverged")
        structure += [
            {"layer": WHOLE_NETWORK, "metric": name, "value": value}
            for name, value in performance.items()
        ]
        self.state.add_rows("plasticity", [{**learner, "task": t, **row} for row in structure])
        whole = {row["metric"]: row["value"] for row in structure if row["layer"] == WHOLE_NETWORK}
        return {**whole, **learned}
