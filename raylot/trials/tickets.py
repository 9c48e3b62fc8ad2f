"""The tickets trial: all tickets of one snapshot at one sparsity, and their controls."""

from __future__ import annotations

import statistics
from typing import Any

from torch import Tensor

from raylot import data, networks, results
from raylot.config import TicketsRun
from raylot.names import PERFORMANCE, WHOLE_NETWORK
from raylot.randomness import RandomKey
from raylot.shifts import make_task
from raylot.tickets import (
    TICKET,
    Tickets,
    TicketSearch,
    masks_from_tensors,
    masks_to_tensors,
)
from raylot.trials.base import RunTrainable
from raylot.trials.state import tensors_from_bytes, tensors_to_bytes
from raylot.trials.stream import snapshot_path


def masks_path(run_id: str) -> str:
    """Where the masks of a tickets run lie in the storage."""
    return f"artifacts/{run_id}/masks.safetensors"


class TicketsTrial(RunTrainable):
    """One step is one round of iterative magnitude pruning of all tickets.

    The first trains the dense network, the last the random masks (if there are any).
    """

    run_model = TicketsRun
    run: TicketsRun
    _search: TicketSearch

    @property
    def total_steps(self) -> int:
        return self.run.round_count + 1 + (self.run.random_mask_count > 0)

    def doing(self) -> str:
        if self.state.steps == 0:
            return "dense training"
        if self.state.steps > self.run.round_count:
            return "random masks"
        return f"round {self.state.steps} of {self.run.round_count}"

    def begin(self) -> None:
        dataset = data.load(self.run).to(self.device)
        task = make_task(dataset, self.run, self.run.seed, self.run.task)
        key = RandomKey((self.run.seed, "tickets", self.run.task))
        network = networks.build(self.run, dataset.input_shape, dataset.classes, key)
        network.load_state_dict(self._snapshot())
        self._search = TicketSearch(network.to(self.device), task, self.run, key)
        if self.state.tensors:
            masks = masks_from_tensors(self.state.tensors)
            self._search.masks = [{n: m.to(self.device) for n, m in mask.items()} for mask in masks]
            self._search.round = min(self.state.steps, self.run.round_count + 1)

    def tensors(self) -> dict[str, Tensor]:
        return masks_to_tensors(self._search.masks)

    def advance(self) -> dict[str, float]:
        if self._search.rounds_left:
            rows, trainings = self._search.train_round()
            # Weights that are not finite cannot be ranked; once there are masks, all is data.
            pruned = self._search.rounds_left > 0
            self.state.diverged = pruned and any(training.diverged for training in trainings)
        else:
            rows, trainings = self._search.train_random_masks()
        for training in trainings:
            self.note_training(training)
        self.state.add_rows("tickets", [{**self._place(), **row} for row in rows])
        shown = {
            "accuracy": statistics.fmean(row["test_accuracy"] for row in rows),
            "density": rows[0]["density"],
        }
        if self.state.steps + 1 == self.total_steps and not self.state.diverged:
            shown |= self._conclude()
        return shown

    def _conclude(self) -> dict[str, float]:
        """Keeps the masks, and writes what they show when compared."""
        rows = self.state.rows["tickets"]
        found = Tickets.from_rows(self._search.masks, rows, self.run.tolerance)
        last_round = [
            row for row in rows
            if row["control"] == TICKET and row["round"] == self.run.round_count
        ]  # fmt: skip
        for row, wins in zip(last_round, found.wins, strict=True):
            row["wins"] = wins
        self.storage.write(
            masks_path(self.run.run_id), tensors_to_bytes(masks_to_tensors(found.masks))
        )
        overlaps: list[dict[str, Any]] = found.overlaps(per_layer=True).to_dict("records")  # type: ignore[assignment]
        self.state.add_rows("overlaps", [self._place() | row for row in overlaps])
        summary = found.summary()
        self.state.add_rows(
            "snapshots",
            [
                {
                    **self._place(),
                    "protocol": self.run.protocol,
                    "rounds": self.run.rounds,
                    **summary,
                    **self._stream_performance(),
                }
            ],
        )
        return {name: summary[name] for name in ("ticket_count", "winning_ticket_count")}

    def _place(self) -> dict[str, Any]:
        return {
            "stream_run_id": self.run.stream.run_id,
            "task": self.run.task,
            "sparsity": self.run.sparsity,
        }

    def _snapshot(self) -> dict[str, Tensor]:
        path = snapshot_path(self.run.stream.run_id, self.run.task)
        saved = self.storage.read(path)
        if saved is None:
            raise ValueError(f"{path}: the stream has left no snapshot here")
        return tensors_from_bytes(saved)

    def _stream_performance(self) -> dict[str, float]:
        """How the stream's network did on this snapshot's task."""
        rows = results.read_run(self.storage, "plasticity", self.run.stream.run_id) or []
        found = {
            row["metric"]: row["value"]
            for row in rows
            if row["task"] == self.run.task
            and row["layer"] == WHOLE_NETWORK
            and row["metric"] in PERFORMANCE
        }
        if not found:
            raise ValueError(f"task={self.run.task}: the stream has no plasticity rows for it")
        return found
