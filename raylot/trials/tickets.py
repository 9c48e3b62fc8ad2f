"""The tickets trial: finds all tickets of a snapshot at one sparsity, and trains controls."""

from __future__ import annotations

import statistics
from typing import Any

from torch import Tensor

from raylot.config import TicketsRun
from raylot.foundation.names import PERFORMANCE, WHOLE_NETWORK
from raylot.masks.overlap import pairwise_overlaps
from raylot.masks.plastic_parameters import plastic_overlaps
from raylot.masks.pruning import density
from raylot.tasks import Task, make_task
from raylot.tickets import (
    RANDOM,
    REINIT,
    SHUFFLED,
    TICKET,
    Tickets,
    TicketSearch,
    masks_from_tensors,
    masks_to_tensors,
)
from raylot.trials.artifacts import masks_path, snapshot_path, start_search
from raylot.trials.base import InputLostError, RunTrainable

#: Mean |gradient| of each weight, among the tensors of a saved state.
_GRADIENTS = "gradient/"

_CONTROL_NAMES = {
    RANDOM: "random masks",
    SHUFFLED: "shuffled masks",
    REINIT: "re-initialised tickets",
}


class TicketsTrial(RunTrainable):
    """One step is one round of iterative magnitude pruning of all tickets, or one control.

    The first step trains the dense network. After the last round, each control takes one more step,
    and so do plastic parameters unless the dense training measures them.
    """

    run_model = TicketsRun
    run: TicketsRun
    _dataset: Task
    _search: TicketSearch

    @property
    def _steps(self) -> list[str]:
        """Says what each step does."""
        rounds = [
            f"round {r} of {self.run.round_count}" for r in range(1, self.run.round_count + 1)
        ]
        counts = (self.run.random_mask_count, self.run.shuffled_masks, self.run.reinit_tickets)
        names = zip(_CONTROL_NAMES.values(), counts, strict=True)
        apart = ["plastic parameters"] if self.run.measures_plasticity_apart else []
        return ["dense training", *rounds, *(name for name, count in names if count), *apart]

    @property
    def total_steps(self) -> int:
        return len(self._steps)

    def doing(self) -> str:
        return self._steps[self.state.steps]

    def begin(self) -> None:
        self._dataset = self.dataset()
        snapshot = self.read_input(snapshot_path(self.run.stream.run_id, self.run.task))
        self._search = start_search(self.run, self._dataset, snapshot)
        self._note_remarks()
        if not self.state.tensors:
            return
        saved = {n: t.to(self.device) for n, t in self.state.tensors.items()}
        gradients = {
            n.removeprefix(_GRADIENTS): saved.pop(n)
            for n in list(saved)
            if n.startswith(_GRADIENTS)
        }
        self._search.masks = masks_from_tensors(saved, like=self._search.masks[0])
        self._search.gradient_magnitudes = gradients
        self._search.round = min(self.state.steps, self.run.round_count + 1)

    def tensors(self) -> dict[str, Tensor]:
        gradients = self._search.gradient_magnitudes or {}
        return masks_to_tensors(self._search.masks) | {
            _GRADIENTS + name: tensor for name, tensor in gradients.items()
        }

    def advance(self) -> dict[str, float]:
        search = self._search
        measures: dict[str, float] = {}
        if self.doing() == "plastic parameters":
            self.note_training(search.measure_gradients(self._plastic_task()))
        else:
            if search.rounds_left:
                is_dense = not search.round
                measures = {} if is_dense else self._overlap()
                trained = search.train_round()
                self.state.training_steps += search.rewinding_steps if is_dense else 0
                # Weights that are not finite cannot be ranked. Once all rounds are done, a training
                # that diverges is a result like any other.
                self.state.diverged = search.rounds_left > 0 and any(
                    training.diverged for _, training in trained
                )
            else:
                control = next(c for c, name in _CONTROL_NAMES.items() if name == self.doing())
                trained = search.train_control(control)
            for _, training in trained:
                self.note_training(training)
            rows = [row for row, _ in trained]
            self.state.add_rows("tickets", [{**self._place(), **row} for row in rows])
            accuracies = [row["test_accuracy"] for row in rows]
            measures[f"{rows[0]['control']}_accuracy"] = statistics.fmean(accuracies)
        if self.state.steps + 1 == self.total_steps and not self.state.diverged:
            self._conclude()
        return measures

    def _overlap(self) -> dict[str, float]:
        """Measures how dense the tickets are so far, and how alike if there are several."""
        masks = self._search.masks
        measures = {"density": statistics.fmean(density(each) for each in masks)}
        if len(masks) > 1:
            overlaps = pairwise_overlaps(masks)
            whole = overlaps.loc[overlaps["layer"] == WHOLE_NETWORK, "jaccard"]
            measures["overlap_mean"] = float(whole.mean())
        return measures

    def _plastic_task(self) -> Task:
        """Returns the task for plastic parameters that the dense training does not measure."""
        dataset = self._dataset
        if self.run.plastic_scaling != "same":
            dataset = self.dataset(self.run.plastic_scaling)
        if self.run.plastic_task == "unshifted":
            return dataset
        return make_task(dataset, self.run, self.run.seed, self.run.task)

    def _conclude(self) -> None:
        """Saves the masks, and adds the rows that compare them."""
        self._note_remarks()
        rows = self.state.rows["tickets"]
        found = Tickets.from_rows(self._search.masks, rows, self.run)
        last_round = [
            row for row in rows
            if row["control"] == TICKET and row["round"] == self.run.round_count
        ]  # fmt: skip
        for row, wins in zip(last_round, found.wins, strict=True):
            row["wins"] = wins
        self.write_artifact(masks_path(self.run.run_id), masks_to_tensors(found.masks))
        overlaps: list[dict[str, Any]] = found.overlaps(per_layer=True).to_dict("records")  # type: ignore[assignment]
        self.state.add_rows("overlaps", [self._place() | row for row in overlaps])
        summary = found.summary()
        setting = {**self._place(), "protocol": self.run.protocol, "rounds": self.run.rounds}
        self.state.add_rows("snapshots", [{**setting, **summary, **self._stream_performance()}])
        assert self._search.gradient_magnitudes is not None
        plastic = plastic_overlaps(
            {name: g.cpu() for name, g in self._search.gradient_magnitudes.items()},
            found.masks,
            self.run.plastic_density == "layer",
        )
        self.state.add_rows("plastic_parameters", [{**setting, **row} for row in plastic])

    def _note_remarks(self) -> None:
        for remark in self._search.remarks():
            self.note(remark)

    def _place(self) -> dict[str, Any]:
        return {
            "stream_run_id": self.run.stream.run_id,
            "task": self.run.task,
            "sparsity": self.run.sparsity,
        }

    def _stream_performance(self) -> dict[str, float]:
        """Returns the performance of the stream's network on this snapshot's task."""
        stream = self.run.stream.run_id
        found = {
            row["metric"]: row["value"]
            for row in self.read_rows("plasticity", stream)
            if row["task"] == self.run.task
            and row["layer"] == WHOLE_NETWORK
            and row["metric"] in PERFORMANCE
        }
        if not found:
            raise InputLostError(stream, f"tables/plasticity: no rows of task {self.run.task}")
        return found
