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
from raylot.results.manifest import latest_path
from raylot.tasks import Task
from raylot.trials.artifacts import intervention_path, snapshot_path
from raylot.trials.base import NotReproducedError
from raylot.trials.head import reset_head
from raylot.trials.on_tasks import OnTasks, data_order

#: Beginnings of the names of a network's, an optimizer's and an intervention's tensors in a saved
#: state.
_NETWORK, _OPTIMIZER, _INTERVENTION = "network/", "optimizer/", "intervention/"

#: What a trial measures of each training: columns of ``tasks``.
MEASURES = ("train_loss", "online_accuracy", "test_loss", "test_accuracy", "learning_speed")
#: Their values; None: the task has no such measure, as regression has no accuracy.
Measures = dict[str, float | None]


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Returns the tensors whose names begin with a prefix, without it."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _is_nan(value: float | None) -> bool:
    return value is not None and math.isnan(value)


class StreamTrial(OnTasks):
    """One step trains on one task.

    Before a task with a snapshot, it saves the network, and beside it what its intervention
    remembers (`raylot.training.Intervention.state_dict`), so that the stream can train again from
    there; other runs start from the network alone. After the last task it saves its state, from
    which it can grow: see `raylot.config.stream_steps`. Rows of tasks that it trains on again must
    come out as they are.
    """

    run_model = StreamRun
    tables = ("tasks", "plasticity")
    run: StreamRun
    _steps: list[StreamStep]
    _network: nn.Module
    _optimizer_state: dict[str, Tensor] | None
    _intervention_state: dict[str, Tensor]  # empty: there is none

    # -------------------------------------------------- what a ticket stream does differently

    def start_state(self) -> Mapping[str, Tensor]:
        """Returns the state dict with which the network begins."""
        return self._initial

    def order(self, t: int) -> RandomKey:
        """Returns the key of the data order on task t."""
        return data_order(self.run, t)

    def how_to_train(self) -> dict[str, Any]:
        """Returns further options of each training."""
        return {}

    def performance(self, t: int, learned: Measures) -> list[dict[str, Any]]:
        """Returns rows of ``plasticity``: how well the network learned a snapshot's task."""
        place = {**self.whose(), "task": t, "layer": WHOLE_NETWORK}
        return [
            {**place, "metric": name, "value": learned[name]}
            for name in PERFORMANCE
            if learned.get(name) is not None
        ]

    # --------------------------------------------------

    def _widen(self) -> None:
        super()._widen()
        self._plan()

    def _plan(self) -> None:
        """Plans all steps, once: a stream may have many thousands."""
        self._steps = stream_steps(
            self._extent,
            self._targets,
            has_latest=self.state.has_latest,
            keeps_optimizer=self.run.carry_optimizer,
        )

    @property
    def _target_tasks(self) -> set[int]:
        """The numbers of tasks after which the stream saves its state, so that it can go on."""
        return {target["tasks"] for target in self._targets}

    @property
    def _extent(self) -> dict[str, Any]:
        return self.run.along(self.state.extent)

    @property
    def _targets(self) -> list[dict[str, Any]]:
        return list(map(self.run.along, self.state.targets))

    @property
    def total_steps(self) -> int:
        return len(self._steps)

    def doing(self) -> str:
        step = self._steps[self.state.steps]
        of = self.run.along(self.run.extent)["tasks"]
        return f"task {step.task + 1} of {of}" + ", again" * step.is_again

    def place(self) -> int:
        return max([step.task + 1 for step in self._steps[: self.state.steps]][-1:], default=0)

    def tensors(self) -> dict[str, Tensor]:
        optimizer = self._optimizer_state or {}
        tensors = {_NETWORK + name: tensor for name, tensor in self._network.state_dict().items()}
        tensors |= {_OPTIMIZER + name: tensor for name, tensor in optimizer.items()}
        kept = self._intervention_state
        return tensors | {_INTERVENTION + name: tensor for name, tensor in kept.items()}

    def begin(self) -> None:
        self.prepare()
        saved = self.state.tensors
        self._optimizer_state = _part(saved, _OPTIMIZER) or None
        self._intervention_state = _part(saved, _INTERVENTION)
        state = _part(saved, _NETWORK)
        if not state and not self.state.extent:  # else its first step takes it to where it stood
            state = dict(self.start_state())
        self._network = networks.with_state(self._built, state or self._built.state_dict())

    def advance(self) -> dict[str, float]:
        if self._steps[self.state.steps].restart:
            self._restart()
        step = self._steps[self.state.steps]  # another one if a file was lost
        t = self.run.first_task + step.task
        if step.has_snapshot:
            taken = {snapshot_path(self.run.run_id, t): self._network.state_dict()}
            if self._intervention_state:
                taken[intervention_path(self.run.run_id, t)] = self._intervention_state
            self.write_artifacts(taken)
        learned = self._learn(step, t) if step.trains else self._found(t)
        if step.has_snapshot and (rows := self.performance(t, learned)):
            self.state.add_rows("plasticity", rows)
        is_new = step.trains and not step.is_again
        if is_new and step.task + 1 in self._target_tasks and not self.state.diverged:
            self.write_artifacts({latest_path(self.run.run_id): self.tensors()})
        if self.state.diverged or self.state.steps + 1 == self.total_steps:
            self._sort_rows()
        return {name: value for name, value in learned.items() if value is not None}

    def _restart(self) -> None:
        """Takes the network to where it stood before the next step's task."""
        steps = self._steps
        t = steps[self.state.steps].task
        is_latest = self.state.has_latest and t == self._extent.get("tasks")
        # Once it has trained on this task, a snapshot is what it was.
        is_latest &= all(step.task < t for step in steps[: self.state.steps])
        run_id = self.run.run_id
        place = self.run.first_task + t
        path = latest_path(run_id) if is_latest else snapshot_path(run_id, place)
        kept: dict[str, Tensor] = {}
        try:
            saved = self.read_own(path) if t else self.start_state()
            beside = intervention_path(run_id, place)
            if not is_latest and beside in self.state.artifacts:
                kept = self.read_own(beside)
        except ValueError as error:
            if is_latest:
                self.state.has_latest = False
                self._plan()
                self.tell(f"{error}, so the stream goes on from an earlier snapshot")
                # By the new plan the network at hand, with its optimizer, may be the right one.
                return self._restart() if self._steps[self.state.steps].restart else None
            self.tell(f"{error}, so the stream starts anew")
            self._start_anew()
            saved = self.start_state()
        self._optimizer_state = (_part(saved, _OPTIMIZER) or None) if is_latest else None
        self._intervention_state = _part(saved, _INTERVENTION) if is_latest else kept
        state = _part(saved, _NETWORK) if is_latest else saved
        self._network = networks.with_state(self._built, state)
        return None

    def learn(self, t: int, task: Task) -> Measures:
        """Trains the network on task t; returns the measures of its row in ``tasks``."""
        self._network = networks.with_state(self._built, self._network.state_dict())
        method, name = interventions.make(self.run), self.run.intervention
        if method is not None and self._intervention_state:
            interventions.load_state(name, method, self._intervention_state, self.device)
        result = self.train_on(
            t,
            task,
            self._network,
            self.order(t),
            optimizer_state=self._optimizer_state,
            learning_curve=True,
            intervention=method,
            whole_task=True,
            **self.how_to_train(),
        )
        self.state.diverged = result.diverged
        if self.run.carry_optimizer:
            self._optimizer_state = result.optimizer_state
        if method is not None:
            self._intervention_state = interventions.state_tensors(name, method)
        if self.run.head_reset != "none":
            reset_head(
                self._network,
                self.run.head_reset,
                RandomKey((self.run.seed, "head", t)),
                self._masks,
            )
        return {name: getattr(result, name) for name in MEASURES}

    def _learn(self, step: StreamStep, t: int) -> Measures:
        """Trains on task t; adds its row, or compares it with the row that is there."""
        before = self.state.training_steps
        learned = self.learn(t, self.task(t))
        if not step.is_again:
            self.state.add_rows("tasks", [{**self.whose(), "task": t, **learned}])
            return learned
        self.state.steps_again += self.state.training_steps - before
        self.state.training_steps = before
        found = self._found(t)
        for name, value in learned.items():
            if found[name] != value and not (_is_nan(found[name]) and _is_nan(value)):
                self.state.diverged = False  # the stream that is there has not
                raise NotReproducedError(
                    f"trained again on task {t}, it does not find its row: {name} is "
                    f"{value!r}, not {found[name]!r}"
                )
        return learned

    def _found(self, t: int) -> Measures:
        """Returns the measures in the row of ``tasks`` that is there."""
        (row,) = (row for row in self.state.rows["tasks"] if row["task"] == t)
        return {name: row[name] for name in MEASURES}

    def reached(self) -> dict[str, Any]:
        steps, extent = self._steps[: self.state.steps], self._extent
        self._sort_rows()
        first = extent.get("tasks", 0)
        tasks = max([first, *(step.task + 1 for step in steps if not step.is_again)])
        if tasks not in self._target_tasks | {first}:
            self.state.artifacts.pop(latest_path(self.run.run_id), None)  # it is out of date
        added = {step.task for step in steps if step.has_snapshot}
        reached = {"tasks": tasks, "snapshots": sorted({*extent.get("snapshots", ()), *added})}
        return {self.run.prefix + name: value for name, value in reached.items()}

    def end_early(self) -> None:
        """Ends the stream after the tasks done; asked for more, it goes on from there.

        A stream that has ended, or trains again on tasks that it had passed, stays as it is.
        """
        if not self._begun and self.state.steps:
            self.begin()
            self._begun = True
        before = self.state.extent
        reached = self.reached()
        if not self._begun or self._is_out_of_date() or reached == before:
            return
        self.state.targets = [reached]
        self._plan()
        self.write_artifacts({latest_path(self.run.run_id): self.tensors()})
        self._end_as_far_as_it_has_come()

    def _sort_rows(self) -> None:
        """Sorts the rows as if the stream had passed each task once."""
        for rows in self.state.rows.values():
            rows.sort(key=lambda row: row["task"])
