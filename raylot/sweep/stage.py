"""Stages of a sweep: runs of one kind, and which of them can be computed now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from raylot import results
from raylot.config import StreamRun
from raylot.results.tables import ended_runs
from raylot.storage import Storage


@dataclass(frozen=True)
class Stage:
    """Runs of one kind, all of which could run at once."""

    name: str
    runs: Sequence[StreamRun]

    def missing(self, storage: Storage) -> list[StreamRun]:
        """Runs that have not ended."""
        ended = results.finished_runs(storage)
        return [run for run in self.runs if run.run_id not in ended]

    def ended(self, storage: Storage) -> tuple[int, int]:
        """How many runs ended well, or diverged, and how many failed."""
        known = ended_runs(storage)
        ends = [known[run.run_id].status for run in self.runs if run.run_id in known]
        return len(ends) - ends.count("failed"), ends.count("failed")

    def ready(self, storage: Storage) -> list[StreamRun]:
        """Missing runs that can be computed now: what they stand on has ended."""
        return [run for run, parent_ended in self._possible(storage) if parent_ended]

    def to_compute(self, storage: Storage) -> list[StreamRun]:
        """Missing runs that can be computed now, or once what they stand on has ended."""
        return [run for run, _ in self._possible(storage)]

    def _possible(self, storage: Storage) -> Iterator[tuple[StreamRun, bool]]:
        """Missing runs, and whether what they stand on is there; without those that can never be.

        Nothing stands on a run that failed; tickets of a stream that diverged, up to its last
        snapshot; ticket streams only on a search that found its tickets.
        """
        missing = self.missing(storage)
        known = ended_runs(storage) if any(run.parent for run in missing) else {}

        def can_start(run: StreamRun) -> bool:
            parent = run.parent
            if parent is None:
                return True
            ended = known.get(parent.run_id)
            if ended is None:
                return can_start(parent)
            if parent.parent is None and ended.status == "diverged":
                from raylot.trials.stream import snapshot_path  # imports torch, which takes seconds

                snapshot = snapshot_path(parent.run_id, getattr(run, "task", 0))
                if not ended.tells:
                    return storage.exists(snapshot)
                return snapshot in ended.artifacts  # is computed again if it is gone
            return ended.status == "finished"

        for run in missing:
            if can_start(run):
                yield run, run.parent is None or run.parent.run_id in known
