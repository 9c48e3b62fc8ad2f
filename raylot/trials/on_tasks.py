"""The base of the trials that train or measure networks on a stream's tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from raylot.config import StreamRun
from raylot.foundation.randomness import RandomKey
from raylot.tasks import Task, make_task
from raylot.training import Masks, TrainingResult, train
from raylot.trials.artifacts import initial_network
from raylot.trials.base import RunTrial


def data_order(run: StreamRun, t: int) -> RandomKey:
    """Returns the key of the data order in which a stream's networks train on task t."""
    return RandomKey((run.seed, "stream", t))


class OnTasks(RunTrial):
    """A trial that trains or measures networks on tasks of its stream.

    Only a network's state dict goes from task to task. Anything else that a network keeps (a
    counter, a cached tensor, a buffer that is not persistent) is, at each task, as it was when the
    network was built. So an interrupted stream gives the same results as an uninterrupted one.
    """

    _dataset: Task
    _built: nn.Module  # as it was built, for the state dicts of snapshots
    _initial: Mapping[str, Tensor]  # with which the stream or ticket stream's network began
    _masks: Masks | None = None  # of a ticket stream's subnetwork

    def prepare(self) -> None:
        """Loads the data set, and builds the network."""
        self._dataset = self.dataset()
        self._built = initial_network(self.run, self.task(0)).to(self.device)
        self._initial = self._built.state_dict()

    def whose(self) -> dict[str, Any]:
        """Returns the columns that say which stream or ticket stream a row describes."""
        return {"subnetwork": "dense", "stream_run_id": self.run.stream.run_id}

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
