"""Stages of a sweep: runs of one kind, and which of them can be computed now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raylot.config import StreamRun
from raylot.results.manifest import Manifest
from raylot.storage import Storage


def has_ended(run: StreamRun, ended: Mapping[str, Manifest]) -> bool:
    """Returns whether nothing is left to compute of a run.

    A finished run may still have to grow, as one with fewer tasks or tickets than are asked for.
    """
    end = ended.get(run.run_id)
    return end is not None and (end.status != "finished" or run.is_covered_by(end.extent))


@dataclass(frozen=True)
class Stage:
    """Runs of one kind, all of which could run at once.

    Methods take ``ended``, the ended runs of a storage by run_id, as
    `raylot.results.integrity.ended_runs` reads them: read once, they answer many questions.
    """

    name: str
    runs: Sequence[StreamRun]

    def missing(self, ended: Mapping[str, Manifest]) -> list[StreamRun]:
        """Returns the runs that have not ended, or have to grow."""
        return [run for run in self.runs if not has_ended(run, ended)]

    def count(self, ended: Mapping[str, Manifest]) -> tuple[int, int]:
        """Returns how many runs have ended well, or diverged, and how many have failed."""
        ends = [ended[run.run_id].status for run in self.runs if has_ended(run, ended)]
        return len(ends) - ends.count("failed"), ends.count("failed")

    def ready(self, ended: Mapping[str, Manifest], storage: Storage) -> list[StreamRun]:
        """Returns the missing runs that can be computed now: the runs they need have ended."""
        possible = self.to_compute(ended, storage)
        return [run for run in possible if run.parent is None or has_ended(run.parent, ended)]

    def to_compute(self, ended: Mapping[str, Manifest], storage: Storage) -> list[StreamRun]:
        """Returns the missing runs that can be computed now, or once the runs they need end.

        No run can start from a run that failed. Measurements and tickets can start from a stream
        or ticket stream that diverged, from the snapshots that it has left; ticket streams only
        from a search that found its tickets.
        """

        def can_start(run: StreamRun) -> bool:
            above = run.parent
            while above is not None:
                if has_ended(above, ended) and not has_left(above):
                    return False
                above = above.parent
            return True

        def has_left(run: StreamRun) -> bool:
            end = ended[run.run_id]
            if run.learner is not run or end.status != "diverged":
                return end.status == "finished"
            # Imports torch, which takes seconds.
            from raylot.trials.artifacts import snapshot_path

            wanted = [
                snapshot_path(run.run_id, run.first_task + snapshot)
                for snapshot in run.along(run.extent)["snapshots"]
            ]
            if not end.tells:
                return any(map(storage.exists, wanted))
            return any(path in end.artifacts for path in wanted)  # computed again if gone

        return list(filter(can_start, self.missing(ended)))

    def work(self, ended: Mapping[str, Manifest], storage: Storage) -> list[tuple[StreamRun, int]]:
        """Returns the runs `to_compute`, and the training steps that are left of each."""
        return [(run, _steps_left(run, ended, storage)) for run in self.to_compute(ended, storage)]


def _steps_left(run: StreamRun, ended: Mapping[str, Manifest], storage: Storage) -> int:
    end = ended.get(run.run_id)
    if end is None:
        return run.training_steps
    has_latest = run.learner is run and end.has_latest and storage.exists(end.latest)
    return run.steps_beyond(end.extent, has_latest=has_latest)
