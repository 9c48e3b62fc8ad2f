"""The stream trial: trains one network on one task after another, with snapshots on the way."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from raylot import interventions, networks
from raylot.config import StreamRun
from raylot.config.stream_steps import StreamStep, stream_steps
from raylot.foundation.names import PERFORMANCE, WHOLE_NETWORK
from raylot.foundation.randomness import RandomKey
from raylot.tasks import Task, make_task
from raylot.training import TrainingResult, train
from raylot.trials.artifacts import initial_network, latest_path, snapshot_path
from raylot.trials.base import NotReproducedError, RunTrainable

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
        return {name: getattr(result, name) for name in _MEASURES}


class StreamTrial(LearningTrial):
    """One step trains on one task.

    Before a task with a snapshot, it saves the network and measures its plasticity; on that task
    it also trains a freshly initialised network, for the trainability gap. After the last task it
    saves its state, from which it can grow: see `raylot.config.stream_steps`. Rows of tasks that it
    trains on again must come out as they are.
    """

    run_model = StreamRun
    run: StreamRun
    _steps: list[StreamStep]

    def _widen(self) -> None:
        super()._widen()
        self._plan()

    def _plan(self) -> None:
        """Plans all steps, once: a stream may have many thousands."""
        self._steps = stream_steps(
            self.state.extent,
            self.state.targets,
            has_latest=self.state.has_latest,
            keeps_optimizer=self.run.carry_optimizer,
        )

    @property
    def _target_tasks(self) -> set[int]:
        """The numbers of tasks after which the stream saves its state, so that it can go on."""
        return {target["tasks"] for target in self.state.targets}

    @property
    def total_steps(self) -> int:
        return len(self._steps)

    def doing(self) -> str:
        step = self._steps[self.state.steps]
        return f"task {step.task + 1} of {self.run.tasks}" + ", again" * step.is_again

    def begin(self) -> None:
        self._dataset = self.dataset()
        built = initial_network(self.run, self.task(0)).to(self.device)
        self._initial = built.state_dict()
        self.start_from(built, self._initial)

    def advance(self) -> Measures:
        if self._steps[self.state.steps].restart:
            self._restart()
        step = self._steps[self.state.steps]  # another one if a file was lost
        task = self.task(step.task)
        structure, fresh = self._snapshot(step.task, task) if step.has_snapshot else ([], None)
        learned = self._learn(step, task) if step.trains else self._found(step.task)
        if step.has_snapshot:
            structure += self._performance(learned, fresh)
            place = {**self._learner, "task": step.task}
            self.state.add_rows("plasticity", [{**place, **row} for row in structure])
        if not self.state.diverged:
            if step.trains and not step.is_again and step.task + 1 in self._target_tasks:
                self.write_artifacts({latest_path(self.run.run_id): self.tensors()})
            if self.state.steps + 1 == self.total_steps:
                self._sort_rows()
        whole = {row["metric"]: row["value"] for row in structure if row["layer"] == WHOLE_NETWORK}
        return {**whole, **learned}

    @property
    def _learner(self) -> dict[str, Any]:
        return {"subnetwork": "dense", "stream_run_id": self.run.run_id}

    def _restart(self) -> None:
        """Takes the network to where it stood before the next step's task."""
        steps = self._steps
        t = steps[self.state.steps].task
        is_latest = self.state.has_latest and t == self.state.extent.get("tasks")
        # Once it has trained on this task, a snapshot is what it was.
        is_latest &= all(step.task < t for step in steps[: self.state.steps])
        run_id = self.run.run_id
        path = latest_path(run_id) if is_latest else snapshot_path(run_id, t)
        try:
            saved = self.read_own(path) if t else self._initial
        except ValueError as error:
            if is_latest:
                self.state.has_latest = False
                self._plan()
                self.tell(f"{error}, so the stream goes on from an earlier snapshot")
                return self._restart()
            self.tell(f"{error}, so the stream starts anew")
            self._start_anew()
            saved = self._initial
        self._optimizer_state = (_part(saved, _OPTIMIZER) or None) if is_latest else None
        state = _part(saved, _NETWORK) if is_latest else saved
        self._network = networks.with_state(self._built, state)
        return None

    def _snapshot(self, t: int, task: Task) -> tuple[list[dict[str, Any]], TrainingResult | None]:
        """Saves the network and measures its structure; trains a fresh one if that is asked for."""
        self.write_artifacts({snapshot_path(self.run.run_id, t): self._network.state_dict()})
        structure = self.measure_structure(self.renewed(), task, self._initial, None)
        if not self.run.trainability_gap:
            return structure, None
        fresh_key = RandomKey((self.run.seed, "fresh network", t))
        network = networks.build(self.run, task.input_shape, task.classes, fresh_key)
        return structure, self.train_on(t, task, network, self._key(t))

    def _learn(self, step: StreamStep, task: Task) -> Measures:
        """Trains on a task; adds its row, or compares it with the row that is there."""
        before = self.state.training_steps
        learned = self.learn(step.task, task, self._key(step.task))
        if not step.is_again:
            self.state.add_rows("tasks", [{**self._learner, "task": step.task, **learned}])
            return learned
        self.state.steps_again += self.state.training_steps - before
        self.state.training_steps = before
        found = self._found(step.task)
        for name, value in learned.items():
            if found[name] != value and not (math.isnan(found[name]) and math.isnan(value)):
                self.state.diverged = False  # the stream that is there has not
                raise NotReproducedError(
                    f"trained again on task {step.task}, it does not find its row: {name} is "
                    f"{value!r}, not {found[name]!r}"
                )
        return learned

    def _found(self, t: int) -> Measures:
        """Returns the measures in the row of ``tasks`` that is there."""
        (row,) = (row for row in self.state.rows["tasks"] if row["task"] == t)
        return {name: row[name] for name in _MEASURES}

    def _performance(self, learned: Measures, fresh: TrainingResult | None) -> list[dict[str, Any]]:
        """Returns rows of ``plasticity``: how well the stream's network learned the task."""
        performance = {name: learned[name] for name in PERFORMANCE if name in learned}
        if fresh:
            performance["trainability_gap"] = fresh.test_accuracy - learned["test_accuracy"]
            if fresh.diverged:
                self.note("trainability_gap: NaN, as the training of a fresh network diverged")
        return [
            {"layer": WHOLE_NETWORK, "metric": name, "value": value}
            for name, value in performance.items()
        ]

    def _key(self, t: int) -> RandomKey:
        return RandomKey((self.run.seed, "stream", t))

    def reached(self) -> dict[str, Any]:
        steps, extent = self._steps[: self.state.steps], self.state.extent
        self._sort_rows()
        first = extent.get("tasks", 0)
        tasks = max([first, *(step.task + 1 for step in steps if not step.is_again)])
        if tasks not in self._target_tasks | {first}:
            self.state.artifacts.pop(latest_path(self.run.run_id), None)  # it is out of date
        added = {step.task for step in steps if step.has_snapshot}
        return {"tasks": tasks, "snapshots": sorted({*extent.get("snapshots", ()), *added})}

    def _sort_rows(self) -> None:
        """Sorts the rows as if the stream had passed each task once."""
        for rows in self.state.rows.values():
            rows.sort(key=lambda row: row["task"])
