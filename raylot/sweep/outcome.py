"""How the runs of a sweep stand when its command ends, and what the user is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from raylot import results
from raylot.config import StreamRun
from raylot.foundation.text import one_line
from raylot.storage import Storage
from raylot.sweep.stage import Stage


@dataclass(frozen=True)
class Outcome:
    """How the runs of a sweep stand.

    Attributes:
        finished: runs that ended well.
        finished_stages: names of the stages with such runs.
        diverged: runs that ended with a loss that was not finite.
        failures: runs that ended with an error, and why.
        missing: runs that have not ended.
        blocked: of these, runs that stand on one that diverged or failed too early.
        plasticity_share: share of the streams' time spent on measuring plasticity in the
            structure; None if no stream has ended.
        lost: why trials were given up, whose worker or storage failed too often.
        interrupted: whether the sweep was stopped before it was through.
    """

    finished: int
    finished_stages: frozenset[str]
    diverged: int
    failures: Sequence[str]
    missing: int
    blocked: int
    plasticity_share: float | None
    lost: Sequence[str]
    interrupted: bool

    def summary(self) -> str:
        """What to tell the user: one line, and one for each failed run (the first five)."""
        text = f"{self.finished} runs finished"
        if self.diverged:
            text += f", {self.diverged} diverged (recorded as such)"
        if self.failures:
            text += f", {len(self.failures)} failed (try again with --retry-failed)"
        if self.missing:
            text += f", {self.missing} missing"
        lines = [text]
        lines += [f"  failed: {one_line(failure)}" for failure in self.failures[:5]]
        lines += [f"  given up: {one_line(error)}" for error in self.lost[:5]]
        if self.blocked:
            lines.append(
                f"{self.blocked} runs cannot be computed: what they stand on diverged or failed "
                "too early."
            )
        if self.plasticity_share is not None:
            lines.append(
                f"Measuring plasticity took {self.plasticity_share:.1%} of the streams' time."
            )
        if self.interrupted:
            lines.append(f"Interrupted. {CONTINUE}")
        elif self.missing > self.blocked:
            lines.append("The same command tries again what was given up.")
        return "\n".join(lines)


#: Told to a user who has stopped a sweep, or whose cluster is gone.
CONTINUE = (
    "Nothing that was saved is lost: ended runs are kept, and those under way up to their last "
    "save. The same command continues them."
)


def outcome(
    stages: Sequence[Stage], storage: Storage, interrupted: bool, lost: Sequence[str]
) -> Outcome:
    """How the runs of some stages stand, as the storage tells.

    Args:
        stages: of the sweep.
        storage: where its results are.
        interrupted: whether it was stopped before it was through.
        lost: why trials were given up.
    """
    runs = results.read(
        storage, "runs", ["run_id", "kind", "status", "error", "seconds", "plasticity_seconds"]
    )
    planned = {run.run_id: run for stage in stages for run in stage.runs}
    ended = runs[runs["run_id"].isin(planned)]
    failures = [
        f"{planned[run_id].label} ({run_id}): {error}"
        for run_id, status, error in zip(
            ended["run_id"], ended["status"], ended["error"], strict=True
        )
        if status == "failed"
    ]
    finished = set(ended["run_id"][ended["status"] == "finished"])
    return Outcome(
        finished=len(finished),
        finished_stages=frozenset(
            stage.name for stage in stages if any(run.run_id in finished for run in stage.runs)
        ),
        diverged=int((ended["status"] == "diverged").sum()),
        failures=failures,
        missing=len(planned) - len(ended),
        blocked=sum(
            len(stage.missing(storage)) - len(stage.to_compute(storage)) for stage in stages
        ),
        plasticity_share=_plasticity_share(ended[ended["kind"] == StreamRun.kind]),
        lost=lost,
        interrupted=interrupted,
    )


def _plasticity_share(streams: pd.DataFrame) -> float | None:
    measured = streams.dropna(subset=["plasticity_seconds"])
    seconds = float(measured["seconds"].sum())
    return float(measured["plasticity_seconds"].sum()) / seconds if seconds else None
