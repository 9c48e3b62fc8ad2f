"""The stream trial: trains one network on one task after another, with snapshots on the way."""

from __future__ import annotations

import math
from typing import Any

from raylot import networks
from raylot.config import StreamRun
from raylot.config.stream_steps import StreamStep, stream_steps
from raylot.foundation.names import PERFORMANCE, WHOLE_NETWORK
from raylot.tasks import Task
from raylot.trials.artifacts import initial_network, latest_path, snapshot_path
from raylot.trials.base import NotReproducedError
from raylot.trials.learning import (
    MEASURES,
    NETWORK,
    OPTIMIZER,
    LearningTrial,
    Measures,
    data_order,
    part,
)


class StreamTrial(LearningTrial):
    """One step trains on one task.

    Before a task with a snapshot, it saves the network. After the last task it saves its state,
    from which it can grow: see `raylot.config.stream_steps`. Rows of tasks that it trains on again
    must come out as they are.
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
        if step.has_snapshot:
            path = snapshot_path(self.run.run_id, step.task)
            self.write_artifacts({path: self._network.state_dict()})
        learned = self._learn(step, task) if step.trains else self._found(step.task)
        if step.has_snapshot:
            self.state.add_rows("plasticity", self._performance(step.task, learned))
        if not self.state.diverged:
            if step.trains and not step.is_again and step.task + 1 in self._target_tasks:
                self.write_artifacts({latest_path(self.run.run_id): self.tensors()})
            if self.state.steps + 1 == self.total_steps:
                self._sort_rows()
        return learned

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
        self._optimizer_state = (part(saved, OPTIMIZER) or None) if is_latest else None
        state = part(saved, NETWORK) if is_latest else saved
        self._network = networks.with_state(self._built, state)
        return None

    def _learn(self, step: StreamStep, task: Task) -> Measures:
        """Trains on a task; adds its row, or compares it with the row that is there."""
        before = self.state.training_steps
        learned = self.learn(step.task, task, data_order(self.run, step.task))
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
        return {name: row[name] for name in MEASURES}

    def _performance(self, t: int, learned: Measures) -> list[dict[str, Any]]:
        """Returns rows of ``plasticity``: how well the stream's network learned a task."""
        place = {**self._learner, "task": t, "layer": WHOLE_NETWORK}
        return [
            {**place, "metric": name, "value": learned[name]}
            for name in PERFORMANCE
            if name in learned
        ]

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
