"""How the runs of a sweep stand when its command ends, and what the command says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raylot.config import MeasurementRun, TicketMeasurementRun
from raylot.foundation.text import one_line
from raylot.results.manifest import Manifest
from raylot.storage import Storage
from raylot.sweep.stage import Stage, has_ended
from raylot.terminal.progress import duration


@dataclass(frozen=True)
class Outcome:
    """How the runs of a sweep stand.

    Attributes:
        finished: runs that ended well.
        finished_stages: names of the stages with such runs.
        diverged: runs that ended with a loss that was not finite.
        failures: runs that ended with an error, and why.
        missing: runs that have not ended, or not grown.
        to_grow: of these, runs that have ended with less than is asked for.
        blocked: of these, runs that need another run, which diverged or failed too early.
        measuring_seconds: spent on measurements, all trials together.
        lost: why trials were given up whose worker or storage failed too often.
        interrupted: whether the user stopped the sweep before it was done.
    """

    finished: int
    finished_stages: frozenset[str]
    diverged: int
    failures: Sequence[str]
    missing: int
    to_grow: int
    blocked: int
    measuring_seconds: float
    lost: Sequence[str]
    interrupted: bool

    def summary(self) -> str:
        """Says how the runs stand in a line, and why runs failed in a line each, up to five."""
        text = f"{self.finished} runs finished"
        if self.diverged:
            text += f", {self.diverged} diverged (recorded as such)"
        if self.failures:
            text += f", {len(self.failures)} failed (try again with --retry-failed)"
        if self.to_grow:
            text += f", {self.to_grow} still to grow (what they have found stays)"
        if self.missing > self.to_grow:
            text += f", {self.missing - self.to_grow} missing"
        lines = [text]
        lines += [f"  failed: {one_line(failure)}" for failure in self.failures[:5]]
        lines += [f"  given up: {one_line(error)}" for error in self.lost[:5]]
        if self.blocked:
            lines.append(
                f"{self.blocked} runs cannot be computed: a run that they need diverged or failed "
                "too early."
            )
        if self.measuring_seconds:
            took = duration(self.measuring_seconds)
            lines.append(f"Measuring plasticity took {took}, earlier commands included.")
        if self.interrupted:
            lines.append(f"Interrupted. {CONTINUE}")
        elif self.missing > self.blocked:
            lines.append("The same command tries missing runs again.")
        return "\n".join(lines)


#: Told to a user who has stopped a sweep, or whose cluster is gone.
CONTINUE = (
    "Nothing that was saved is lost: ended runs are kept, and those under way up to their last "
    "save. The same command continues them."
)


def outcome(
    stages: Sequence[Stage],
    ended: Mapping[str, Manifest],
    storage: Storage,
    lost: Sequence[str] = (),
    *,
    interrupted: bool = False,
) -> Outcome:
    """Returns how the runs of a sweep's stages stand, by those that have ended in a storage."""
    planned = {run.run_id: run for stage in stages for run in stage.runs}
    known = ended.keys() & planned.keys()
    ended = {id_: ended[id_] for id_, run in planned.items() if has_ended(run, ended)}
    finished = {run_id for run_id, end in ended.items() if end.status == "finished"}
    failed = [end for end in ended.values() if end.status == "failed"]
    return Outcome(
        finished=len(finished),
        finished_stages=frozenset(
            stage.name for stage in stages if any(run.run_id in finished for run in stage.runs)
        ),
        diverged=len(ended) - len(finished) - len(failed),
        failures=[f"{planned[end.run_id].label} ({end.run_id}): {end.error}" for end in failed],
        missing=len(planned) - len(ended),
        to_grow=len(known) - len(ended),
        blocked=sum(
            len(stage.missing(ended)) - len(stage.to_compute(ended, storage)) for stage in stages
        ),
        measuring_seconds=sum(
            end.seconds or 0.0
            for end in ended.values()
            if end.kind in (MeasurementRun.kind, TicketMeasurementRun.kind)
        ),
        lost=lost,
        interrupted=interrupted,
    )
