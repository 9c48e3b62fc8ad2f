"""The tickets trial: finds all tickets of a snapshot at one sparsity, and trains controls."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from raylot.config import TicketsRun
from raylot.foundation.names import (
    DENSE,
    RANDOM,
    REINIT,
    REWIRED,
    SUPERMASK,
    TICKET,
    UNTRAINED,
)
from raylot.masks.overlap import mean_overlap
from raylot.masks.plastic_parameters import plastic_overlaps
from raylot.masks.pruning import density
from raylot.tasks import Task
from raylot.tickets import Tickets, TicketSearch, masks_from_tensors, masks_to_tensors
from raylot.trials.artifacts import (
    gradients_path,
    masks_path,
    snapshot_path,
    start_search,
    task_of_search,
)
from raylot.trials.base import InputLostError, RunTrial

#: Mean |gradient| of each weight, among the tensors of a saved state.
_GRADIENTS = "gradient/"

#: Option that says how many networks a control has -> the control, and what training them is.
_CONTROLS = {
    "untrained_masks": (UNTRAINED, "untrained masks"),
    "random_masks": (RANDOM, "random masks"),
    "rewired_masks": (REWIRED, "rewired masks"),
    "reinit_tickets": (REINIT, "re-initialised tickets"),
    "supermasks": (SUPERMASK, "supermasks"),
}

#: Options that count what a search trains.
_COUNTS = ("tickets", *_CONTROLS)

#: Rows of ``tickets`` are in this order, however the search has grown.
_ORDER = (DENSE, TICKET, UNTRAINED, RANDOM, REWIRED, REINIT, SUPERMASK)

_PLASTIC = "plastic parameters"

#: Tables with rows about all tickets of a search.
_ABOUT_ALL = {"overlaps", "snapshots", "plastic_parameters"}


@dataclass(frozen=True)
class _Step:
    """One step of a search.

    Attributes:
        doing: says what it does.
        of: tickets, one of the controls, or `_PLASTIC`.
        indices: which tickets or networks of the control it trains.
        tickets: the tickets that are trained up to here; `indices` are among them or follow them.
        round: of the tickets.
    """

    doing: str
    of: str
    indices: range
    tickets: range
    round: int


class TicketsTrial(RunTrial):
    """One step is one round of iterative magnitude pruning of all tickets, or one control.

    The first step trains the dense network. With a criterion that scores before training, it also
    prunes in all rounds, and the next step trains the tickets. After the last round, each control
    takes one more step, and so do plastic parameters unless the dense training measures them. A
    search that grows does the same for the tickets and controls that are new.
    """

    run_model = TicketsRun
    tables = ("tickets", "overlaps", "plastic_parameters", "snapshots")
    run: TicketsRun
    _dataset: Task
    _search: TicketSearch

    @property
    def _steps(self) -> list[_Step]:
        """The steps towards each target."""
        rounds, steps, there = self.run.round_count, list[_Step](), self.state.extent
        for target in self.state.targets:
            new = {name: range(there.get(name, 0), target[name]) for name in _COUNTS}
            tickets = new["tickets"]
            for r in self.run.trained_rounds if tickets else ():
                doing = f"round {r} of {rounds}" if r else "dense training"
                steps.append(_Step(doing, TICKET, tickets, tickets, r))
            known = range(target["tickets"])
            for count, (control, doing) in _CONTROLS.items():
                if new[count]:
                    steps.append(_Step(doing, control, new[count], known, rounds + 1))
            there = target
        if self.run.measures_plasticity_apart and not self.state.extent:
            every = range(self.run.tickets)
            steps.append(_Step(_PLASTIC, _PLASTIC, every, every, rounds + 1))
        return steps

    @property
    def total_steps(self) -> int:
        return max(1, len(self._steps))  # judging the tickets anew takes a step of its own

    def doing(self) -> str:
        steps = self._steps
        return steps[self.state.steps].doing if steps else "judging the tickets"

    def begin(self) -> None:
        self._dataset = self.dataset()
        snapshot = self.read_input(snapshot_path(self.run.stream.run_id, self.run.task))
        self._search = start_search(self.run, self._dataset, snapshot)
        if self.state.extent and not self.state.tensors:
            self.state.tensors = self._found_tensors()
        saved = {n: t.to(self.device) for n, t in self.state.tensors.items()}
        if gradients := {n: saved.pop(n) for n in list(saved) if n.startswith(_GRADIENTS)}:
            known = {n.removeprefix(_GRADIENTS): tensor for n, tensor in gradients.items()}
            self._search.gradient_magnitudes = known
        found = masks_from_tensors(saved, like=self._search.masks[0])
        self._search.masks[: len(found)] = found.values()
        self._note_remarks()

    def _found_tensors(self) -> dict[str, Tensor]:
        """Reads what the search has left before it grows; without that it starts anew."""
        try:
            tensors = self.read_own(gradients_path(self.run.run_id))
            tensors = {_GRADIENTS + name: tensor for name, tensor in tensors.items()}
            for ticket in range(self.state.extent["tickets"]):
                tensors |= self.read_own(masks_path(self.run.run_id, ticket))
            return tensors
        except ValueError as error:
            self._start_anew()
            self.tell(f"{error}, so the search starts anew")
            return {}

    def tensors(self) -> dict[str, Tensor]:
        return masks_to_tensors(dict(enumerate(self._search.masks))) | {
            _GRADIENTS + name: tensor for name, tensor in self._gradients().items()
        }

    def advance(self) -> dict[str, float]:
        measures: dict[str, float] = {}
        if steps := self._steps:
            measures = self._do(steps[self.state.steps])
        if self.state.steps + 1 == self.total_steps and not self.state.diverged:
            self._conclude()
        return measures

    def _do(self, step: _Step) -> dict[str, float]:
        search = self._search
        if step.of == _PLASTIC:
            self.note_training(search.measure_gradients(self._plastic_task()))
            return {}
        measures: dict[str, float] = {}
        search.tickets, search.round = step.tickets, step.round
        if step.of == TICKET:
            measures = self._overlap() if step.round else {}
            apart = search.rewinding_steps + search.scoring_steps
            trained = search.train_round()
            apart = search.rewinding_steps + search.scoring_steps - apart
            self.state.training_steps += 0 if step.round else apart
            # Weights that are not finite cannot be ranked. Once all rounds are done, a training
            # that diverges is a result like any other.
            self.state.diverged = search.rounds_left > 0 and any(
                training.diverged for _, training in trained
            )
            if self.state.diverged:  # a search that grew had rows about fewer tickets
                self.state.rows |= {table: [] for table in _ABOUT_ALL & self.state.rows.keys()}
        else:
            trained = search.train_control(step.of, step.indices)
        for _, training in trained:
            self.note_training(training)
        rows = [row for row, _ in trained]
        self.state.add_rows("tickets", [{**self._place(), **row} for row in rows])
        measured = "loss" if self._dataset.is_regression else "accuracy"
        found = statistics.fmean(row[f"test_{measured}"] for row in rows)
        measures[f"{rows[0]['control']}_{measured}"] = found
        return measures

    def _overlap(self) -> dict[str, float]:
        """Measures how dense the tickets are so far, and how alike if there are several."""
        masks = self._search.masks[: self._search.tickets.stop]
        measures = {"density": statistics.fmean(density(each) for each in masks)}
        if len(masks) > 1:
            measures["overlap_mean"] = mean_overlap(masks)
        return measures

    def _plastic_task(self) -> Task:
        """Returns the task for plastic parameters that the dense training does not measure."""
        dataset = self._dataset
        if self.run.plastic_scaling != "same":
            dataset = self.dataset(self.run.plastic_scaling)
        if self.run.plastic_task == "unshifted":
            return dataset
        return task_of_search(self.run, dataset)

    def _conclude(self) -> None:
        """Saves masks and gradients, and makes the rows that compare the tickets."""
        self._note_remarks()
        rows = self.state.rows["tickets"]
        rows.sort(key=lambda row: (_ORDER.index(row["control"]), row["round"], row["ticket"]))
        search = self._search
        untrained = [search.untrained_masks(ticket) for ticket in range(self.run.tickets)]
        found = Tickets.from_rows(
            search.masks, rows, self.run, untrained=untrained, chain=search.chain
        )
        for row in rows:
            if row["control"] == TICKET and row["round"] == self.run.round_count:
                row["wins"] = found.wins and found.wins[row["ticket"]]
        gradients = {name: tensor.cpu() for name, tensor in self._gradients().items()}
        left = {gradients_path(self.run.run_id): gradients}
        for ticket, masks in enumerate(found.masks):
            left[masks_path(self.run.run_id, ticket)] = masks_to_tensors({ticket: masks})
        new = {path: own for path, own in left.items() if path not in self.state.artifacts}
        self.write_artifacts(new)
        setting = {**self._place(), "protocol": self.run.protocol, "rounds": self.run.rounds}
        overlaps: list[dict[str, Any]] = found.overlap_rows.to_dict("records")  # type: ignore[assignment]
        summary = found.summary()
        plastic = plastic_overlaps(gradients, found.masks, self.run.plastic_density == "layer")
        self.state.rows |= {
            "overlaps": [self._place() | row for row in overlaps],
            "snapshots": [{**setting, **summary, **self._stream_performance()}],
            "plastic_parameters": [
                {**setting, "tickets": self.run.tickets, **row} for row in plastic
            ],
        }

    def _gradients(self) -> dict[str, Tensor]:
        return self._search.gradient_magnitudes or {}

    def _note_remarks(self) -> None:
        for remark in self._search.remarks():
            self.note(remark)

    def _place(self) -> dict[str, Any]:
        return {
            "stream_run_id": self.run.stream.run_id,
            "task": self.run.task,
            "sparsity": self.run.sparsity,
            "search_task": self.run.search_task,
        }

    def _stream_performance(self) -> dict[str, float]:
        """Returns the performance of the stream's network on this snapshot's task.

        In regression there is none.
        """
        if self._dataset.is_regression:
            return {}
        run_id, task = self.run.stream.run_id, self.run.task
        rows = [row for row in self.read_rows("plasticity", run_id) if row["task"] == task]
        if not rows:
            raise InputLostError(run_id, f"tables/plasticity: no rows of task {task}")
        return {row["metric"]: row["value"] for row in rows}
