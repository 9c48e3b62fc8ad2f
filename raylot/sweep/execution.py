"""Computes the missing runs of a sweep, through lost workers and damaged files."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

from raylot import results
from raylot.config import StreamRun
from raylot.results.integrity import Damage, ended_runs, inspect, mend
from raylot.results.manifest import Manifest
from raylot.storage import OutOfReachError
from raylot.sweep.batches import Batches, Losses, Terms
from raylot.sweep.gathering import Gathering
from raylot.sweep.stage import Stage, has_ended
from raylot.terminal.preliminary import AnswerSoFar
from raylot.trials.record import now, run_row
from raylot.trials.state import RunState, state_path

#: Times that Tune may fail in a row without any run ending, and that damage may be repaired.
_TRIES = 5

#: Seconds before Tune is tried again.
_PAUSE = 5.0

#: Damaged files that the user is told of one by one.
_LISTED = 10

#: Why a run of a share is not computed again.
_AMONG_OTHERS = (
    "is damaged, and its row of runs lies in one file with those of other shares; once no share "
    "runs, raylot check STORAGE --repair makes it count as missing"
)


class _TooManyFailedError(Exception):
    """So many runs have failed that the sweep stops."""


@dataclass
class Execution(Terms):
    """The work of one command on a storage that it is in charge of.

    Attributes:
        ended: the ended runs, as the table ``runs`` said when it was last read: before the
            execution, and after each batch of runs.
    """

    ended: dict[str, Manifest] = field(default_factory=dict)
    # Why runs were given up: run_id -> reason.
    _given_up: dict[str, str] = field(default_factory=dict)
    # Steps that a run had saved when its worker was last lost too often, by run_id.
    _steps_saved: dict[str, int] = field(default_factory=dict)
    # Runs that have failed since this command began.
    _failed: set[str] = field(default_factory=set)
    _has_repaired: bool = False

    def run(self, compute: Callable[[Batches, Terms], None]) -> list[str]:
        """Computes what can be computed; returns why the rest was given up.

        Args:
            compute: computes batches of runs: `raylot.sweep.experiment.compute` on Ray, which must
                have started, or `raylot.sweep.in_process.compute` without.
        """
        self._show_earlier_answers()
        try:
            runs = [run for stage in self.stages for run in stage.runs]
            self._gathering.mend([run.run_id for run in runs if has_ended(run, self.ended)])
            compute(self._batches(), self)
        except _TooManyFailedError:
            failed = "1 run" if len(self._failed) == 1 else f"{len(self._failed)} runs"
            asked = f"--fail-fast {self.options.fail_fast}"
            self._given_up["the rest"] = f"the rest, as {failed} failed ({asked})"
        finally:
            self._gathering.stop()
        return self.reasons

    @property
    def reasons(self) -> list[str]:
        """Why runs were given up, each once."""
        return list(dict.fromkeys(self._given_up.values()))

    @cached_property
    def _gathering(self) -> Gathering:
        return Gathering(self.storage, self.lease, self._share)

    def run_ended(self, run_id: str) -> None:
        self._gathering.add(run_id)

    def is_over(self, losses: Losses) -> bool:
        return self._has_failed_too_often(self._failed | losses.failed)

    def _batches(self) -> Batches:
        """Yields the runs of all stages, again where files turn out to be damaged.

        Raises:
            _TooManyFailedError: as many runs have failed as the sweep may have.
        """
        for repairs_left in reversed(range(_TRIES + 1)):
            self.progress.total_steps += sum(
                left for stage in self.stages for _, left in stage.work(self.ended, self.storage)
            )
            for stage in self.stages:
                self._count(stage)
            lost: dict[str, str] = {}
            for stage in self.stages:
                yield from self._batches_of(stage, lost)
            damages = [_lost(run_id, why) for run_id, why in lost.items()]
            if self._has_repaired and not damages:
                # What was computed again may differ from what other runs started from.
                damages = inspect(self.storage, self._planned).damages
            if not damages:
                break
            if not repairs_left:
                self._given_up |= {damage.path: str(damage) for damage in damages}
                break
            self.progress.steps_forgotten()
            self.repair(damages)

    def repair(self, damages: Sequence[Damage]) -> None:
        """Tells the user what is damaged, and makes the runs that wrote it count as missing."""
        again = {run_id for damage in damages for run_id in damage.run_ids}
        kept = mend(self.storage, damages, self._share)
        for damage in damages[:_LISTED]:
            count = len(set(damage.run_ids) - kept)
            then = f"; {count} runs are computed again" if count else ""
            self.progress.note(f"damaged: {damage}{then}")
        if len(damages) > _LISTED:
            self.progress.note(f"damaged: ... and {len(damages) - _LISTED} more")
        self._given_up |= {run_id: f"{run_id}: {_AMONG_OTHERS}" for run_id in kept}
        for run_id in again - kept:
            self._has_repaired = True
            self.ended.pop(run_id, None)

    def retry_failed(self) -> None:
        """Makes the runs that ended with an error count as missing."""
        failed = {run_id for run_id, run in self.ended.items() if run.status == "failed"}
        results.forget_runs(self.storage, failed, self._share)
        for run_id in failed:
            del self.ended[run_id]

    @property
    def _planned(self) -> set[str]:
        return {run.run_id for stage in self.stages for run in stage.runs}

    @cached_property
    def _share(self) -> set[str] | None:
        """The streams of this command's share of a study; None: it computes all of it."""
        if self.options.share is None:
            return None
        return {run.stream.run_id for stage in self.stages for run in stage.runs}

    def _batches_of(self, stage: Stage, lost_inputs: dict[str, str]) -> Batches:
        """Yields a stage's runs, and what is left of them as often as that takes.

        Args:
            stage: of the sweep.
            lost_inputs: ended runs of which something is gone: run_id -> what. Runs that need them
                are left out; those that this stage finds are added.
        """
        self.progress.begin_stage(stage.name)
        tries = _TRIES
        while runs := self._left(stage, lost_inputs):
            growing = {run.run_id for run in runs} & self.ended.keys()
            self._gathering.begin(growing)
            losses = yield runs
            self._gathering.wait()
            results.drop_replaced(self.storage, growing, self._share)
            lost_inputs |= losses.inputs
            self._given_up |= losses.kept
            computed = {run.run_id for run in runs}
            others = {id_: run for id_, run in self.ended.items() if id_ not in computed}
            self.ended = others | ended_runs(self.storage, computed)
            are_parted = self._blame(losses, stage)
            # A worker may have been lost after it had ended its run.
            lost = [r for r in stage.missing(self.ended) if r.run_id in losses.given_up]
            advanced = [self._give_up(run, losses) for run in lost]
            self._count(stage)
            self._failed |= losses.failed | {
                run.run_id for run, further in zip(lost, advanced, strict=True) if not further
            }
            if self._has_failed_too_often(self._failed):
                self.progress.end_stage()
                raise _TooManyFailedError
            has_advanced = (
                any(advanced) or are_parted or len(self._left(stage, lost_inputs)) < len(runs)
            )
            tries = _TRIES if has_advanced else tries - 1
            if not tries:
                reason = losses.error or "Ray Tune ended without a reason"
                self._given_up |= dict.fromkeys((run.run_id for run in runs), reason)
            elif losses.error:
                self.progress.note(f"Ray Tune gave up ({losses.error}); trying again")
                if not has_advanced:
                    time.sleep(_PAUSE)
        self.progress.end_stage()

    def _blame(self, losses: Losses, stage: Stage) -> bool:
        """Finds the runs that were under way when trials lost their workers too often.

        A run that was bundled with others gets a trial of its own before it is given up, as workers
        may have been lost during the others.

        Returns:
            Whether there is such a run.
        """
        missing = {run.run_id for run in stage.missing(self.ended)}
        are_parted = False
        for bundle, why in losses.bundles:
            left = [run_id for run_id in bundle if run_id in missing]
            if len(bundle) == 1 or not losses.storage_failed.isdisjoint(bundle):
                losses.given_up |= dict.fromkeys(left, why)
            elif left:
                self.alone.add(left[0])
                are_parted = True
        return are_parted

    def _has_failed_too_often(self, failed: Collection[str]) -> bool:
        return self.options.fail_fast is not None and len(failed) >= self.options.fail_fast

    def _left(self, stage: Stage, lost_inputs: Collection[str]) -> list[StreamRun]:
        """Runs that can be computed now, were not given up, and need no lost input."""
        return [
            run
            for run in stage.ready(self.ended, self.storage)
            if run.run_id not in self._given_up and not _needs(run, lost_inputs)
        ]

    def _count(self, stage: Stage) -> None:
        self.progress.count_stage(stage.name, len(stage.runs), *stage.count(self.ended))

    def _show_earlier_answers(self) -> None:
        """Shows what searches have found so far; a thread reads those of earlier sweeps."""
        runs = [run for stage in self.stages for run in stage.runs]
        answer = self.progress.answer = AnswerSoFar.of(runs, self.searched)

        def read_earlier() -> None:
            with suppress(Exception):  # shown for information only: nothing may depend on it
                answer.read(self.storage)

        if answer.places.keys() & self.ended.keys():
            threading.Thread(target=read_earlier, name="answer so far", daemon=True).start()

    def _give_up(self, run: StreamRun, losses: Losses) -> bool:
        """Records a run as failed whose worker was lost too often without getting any further.

        Returns:
            Whether the run had got further, so that it is tried again.
        """
        why = losses.given_up[run.run_id]
        if run.run_id in losses.storage_failed:  # nothing can be recorded there
            self._given_up[run.run_id] = f"{run.label}: {why}"
            return False
        state = RunState(now())
        with suppress(ValueError):  # damaged
            if saved := self.storage.read_checked(state_path(run.run_id)):
                state = RunState.from_bytes(saved)
        if state.steps > self._steps_saved.get(run.run_id, 0):
            self._steps_saved[run.run_id] = state.steps
            return True
        self._given_up[run.run_id] = f"{run.label}: {why}"
        if run.run_id in self.ended:  # it was about to grow, and stays as it was
            return False
        row = run_row(run, state, "failed", f"its worker was lost too often: {why}")
        with suppress(OutOfReachError):
            results.write(self.storage, "runs", run.run_id, [row])
            self.ended[run.run_id] = Manifest.of(row)
        return False


def _needs(run: StreamRun, lost: Collection[str]) -> bool:
    parent = run.parent
    return parent is not None and (parent.run_id in lost or _needs(parent, lost))


def _lost(run_id: str, reason: str) -> Damage:
    path, _, why = reason.partition(": ")
    return Damage(path, why, (run_id,), is_file=not path.startswith("tables/"))
