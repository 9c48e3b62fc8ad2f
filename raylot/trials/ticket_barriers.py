"""The trial of ticket barriers: trains pairs of a search's tickets once more."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from raylot.config import TicketBarrierRun
from raylot.foundation.names import WHOLE_NETWORK
from raylot.masks.overlap import pairwise_overlaps
from raylot.tickets import TicketSearch, masks_from_tensors
from raylot.trials.artifacts import masks_path, snapshot_path, start_search, task_of_search
from raylot.trials.barriers import barrier_row
from raylot.trials.base import RunTrial


class TicketBarrierTrial(RunTrial):
    """One step trains one pair of tickets as their search did last, and looks between the two.

    The line joins the two networks as they were trained: a weight that both tickets lack stays at
    its pruned value, one that a single ticket has moves to the value that it has there.
    """

    run_model = TicketBarrierRun
    tables = ("barriers",)
    run: TicketBarrierRun
    _search: TicketSearch

    @property
    def _first(self) -> int:
        """The pairs that are there."""
        count: int = self.state.extent.get("ticket_pairs", 0)
        return count

    @property
    def total_steps(self) -> int:
        return self.run.ticket_pairs - self._first

    def doing(self) -> str:
        return f"pair {self._first + self.state.steps + 1} of {self.run.ticket_pairs}"

    def tensors(self) -> dict[str, Tensor]:
        return {}

    def begin(self) -> None:
        self._dataset = self.dataset()
        snapshot = self.read_input(snapshot_path(self.run.stream.run_id, self.run.task))
        self._search = start_search(self.run, self._dataset, snapshot)
        for pair in range(self._first + self.state.steps):
            self._read_masks(pair)

    def _read_masks(self, pair: int) -> list[int]:
        """Reads the masks of a pair's tickets; if they have changed, the run starts anew."""
        search, tickets = self._search, [2 * pair, 2 * pair + 1]
        for ticket in tickets:
            tensors = self.read_input(masks_path(self.run.search.run_id, ticket))
            search.masks[ticket] = masks_from_tensors(tensors, like=search.masks[0])[ticket]
        return tickets

    def advance(self) -> dict[str, float]:
        pair = self._first + self.state.steps
        tickets = self._read_masks(pair)
        if pair != self._first + self.state.steps:
            return self.advance()
        search = self._search
        rewinding = search.rewinding_steps
        trained = [search.train_again(ticket) for ticket in tickets]
        self.state.training_steps += search.rewinding_steps - rewinding
        for _, result in trained:
            self.note_training(result)
        if any(result.diverged for _, result in trained):
            self.note("barriers: NaN where a training diverged")
        (a, _), (b, _) = trained
        task = task_of_search(self.run, self._dataset)
        found = barrier_row(self, a, b, task, self.run.barrier_points)
        self.state.add_rows("barriers", [{**self._place(pair), **found, **self._overlap(tickets)}])
        return {name: value for name, value in found.items() if name.endswith("_barrier")}

    def _place(self, pair: int) -> dict[str, Any]:
        return {
            "stream_run_id": self.run.stream.run_id,
            "task": self.run.task,
            "sparsity": self.run.sparsity,
            "search_task": self.run.search_task,
            "trained": "ticket",
            "pair": pair,
            "ticket_a": 2 * pair,
            "ticket_b": 2 * pair + 1,
        }

    def _overlap(self, tickets: list[int]) -> dict[str, float]:
        overlaps = pairwise_overlaps([self._search.masks[ticket] for ticket in tickets])
        (row,) = overlaps[overlaps["layer"] == WHOLE_NETWORK].to_dict("records")
        return {name: row[name] for name in ("jaccard", "chance", "corrected")}
