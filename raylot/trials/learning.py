"""Base classes of the trials that train networks on a stream's tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from raylot import interventions, networks
from raylot.config import StreamRun
from raylot.foundation.randomness import RandomKey
from raylot.tasks import Task, make_task
from raylot.training import TrainingResult, train
from raylot.trials.base import RunTrainable

#: Beginnings of the names of a network's and an optimizer's tensors in a saved state.
NETWORK, OPTIMIZER = "network/", "optimizer/"

#: What a trial measures of each training: columns of ``tasks``.
MEASURES = ("train_loss", "online_accuracy", "test_loss", "test_accuracy", "learning_speed")
Measures = dict[str, float]


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Returns the tensors whose names begin with a prefix, without it."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def data_order(run: StreamRun, t: int) -> RandomKey:
    """Returns the key of the data order in which a stream's networks train on task t."""
    return RandomKey((run.seed, "stream", t))


class OnTasks(RunTrainable):
    """A trial that trains networks on tasks of its stream."""

    _dataset: Task
    _initial: Mapping[str, Tensor]  # with which the stream's network began

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


class LearningTrial(OnTasks):
    """One step trains one network on one task of a stream.

    Only the network's state dict goes from task to task. Anything else that a network keeps (a
    counter, a cached tensor, a buffer that is not persistent) is, at each task, as it was when the
    network was built. So an interrupted stream gives the same results as an uninterrupted one.
    """

    _built: nn.Module
    _network: nn.Module
    _optimizer_state: dict[str, Tensor] | None

    def doing(self) -> str:
        return f"task {self.state.steps + 1} of {self.total_steps}"

    def tensors(self) -> dict[str, Tensor]:
        optimizer = self._optimizer_state or {}
        tensors = {NETWORK + name: tensor for name, tensor in self._network.state_dict().items()}
        return tensors | {OPTIMIZER + name: tensor for name, tensor in optimizer.items()}

    def start_from(self, built: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Begins with a state dict, or with the saved state if there is one."""
        saved = self.state.tensors
        self._built, self._optimizer_state = built, part(saved, OPTIMIZER) or None
        self._network = networks.with_state(built, part(saved, NETWORK) or state)

    def renewed(self) -> nn.Module:
        """Returns the network as it was built, with its present state dict."""
        return networks.with_state(self._built, self._network.state_dict())

    def learn(self, t: int, task: Task, key: RandomKey, **options: Any) -> Measures:
        """Trains the trial's network on task t; returns the measures of its row in ``tasks``.

        Args:
            t, task: the task's number, and its data.
            key: of the data order.
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
        return {name: getattr(result, name) for name in MEASURES}
