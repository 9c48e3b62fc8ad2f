"""Computes the missing runs of a sweep, whatever happens to workers and files meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence
from contextlib import suppress

from raylot import results
from raylot.config import StreamRun, SweepOptions
from raylot.results.integrity import Damage, inspect, mend
from raylot.storage import OutOfReachError, Storage
from raylot.sweep.experiment import TRAINABLES, Ended, run_experiment
from raylot.sweep.stage import Stage
from raylot.sweep.watch import Watch
from raylot.terminal.preliminary import AnswerSoFar
from raylot.terminal.progress import Progress
from raylot.trials.record import now, run_row
from raylot.trials.state import RunState, state_path

#: Times that damage found on the way is repaired before the rest is given up.
_REPAIRS = 3

#: Times in a row that Tune may give up before anything has ended, and the seconds in between.
_TUNE_TRIES, _PAUSE = 5, 5.0

#: Damaged files that are named.
_NAMED = 10


class Execution:
    """The work of one command on a storage that it is in charge of.

    Args:
        stages: of the sweep, in the order in which they need each other.
        storage: where results go.
        options: what a trial may use.
        searched: options that are searched over.
        lease: path of the file that says that this sweep is in charge.
        progress: is told what is going on.
        watch: knows whether the sweep is told to stop.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        storage: Storage,
        options: SweepOptions,
        searched: Collection[str],
        lease: str,
        progress: Progress,
        watch: Watch,
    ) -> None:
        self._stages, self._storage, self._options = stages, storage, options
        self._searched, self._lease, self._progress = searched, lease, progress
        self._watch = watch
        # Why runs were given up: run_id -> reason.
        self._given_up: dict[str, str] = {}
        # How far a run had come when it was given up last: run_id -> steps.
        self._come: dict[str, int] = {}
        self._has_repaired = False

    def run(self) -> list[str]:
        """Computes what can be computed; returns why the rest was given up."""
        planned = {run.run_id for stage in self._stages for run in stage.runs}
        self._answer_so_far()
        for repairs_left in reversed(range(_REPAIRS + 1)):
            lost: dict[str, str] = {}
            self._progress.total_steps += sum(
                run.training_steps
                for stage in self._stages
                for run in stage.to_compute(self._storage)
            )
            for stage in self._stages:
                self._count(stage)
            for stage in self._stages:
                lost |= self._run_stage(stage)
            if not lost and not self._has_repaired:
                break
            # What was computed again may have come out otherwise than what others started from.
            damages = [_lost(run_id, why) for run_id, why in lost.items()]
            damages += inspect(self._storage, planned).damages
            if not damages:
                break
            if not repairs_left:
                self._given_up |= {damage.path: str(damage) for damage in damages}
                break
            self._progress.steps_forgotten()
            self.repair(damages)
        return list(dict.fromkeys(self._given_up.values()))

    def repair(self, damages: Sequence[Damage]) -> None:
        """Names what is damaged, and makes the runs that wrote it count as missing."""
        self._has_repaired |= any(damage.run_ids for damage in damages)
        for damage in damages[:_NAMED]:
            again = f"; {len(damage.run_ids)} runs are computed again" if damage.run_ids else ""
            self._progress.note(f"damaged: {damage}{again}")
        if len(damages) > _NAMED:
            self._progress.note(f"damaged: ... and {len(damages) - _NAMED} more")
        mend(self._storage, damages)

    def _run_stage(self, stage: Stage) -> dict[str, str]:
        """Computes a stage's runs; returns the runs before it of which something is gone."""
        self._progress.begin_stage(stage.name)
        lost: dict[str, str] = {}
        tries = _TUNE_TRIES
        while runs := self._left(stage, lost):
            ended = self._fit(stage, runs)
            lost |= ended.lost_inputs
            # A worker may have been lost after it had ended its run.
            unended = [r for r in stage.missing(self._storage) if r.run_id in ended.given_up]
            advanced = [self._give_up(run, ended) for run in unended]
            self._count(stage)
            if any(advanced) or len(self._left(stage, lost)) < len(runs):
                tries = _TUNE_TRIES
                continue
            tries -= 1
            if not tries:
                reason = ended.error or "Ray Tune ended without a reason"
                self._given_up |= dict.fromkeys((run.run_id for run in runs), reason)
                break
            if ended.error:
                self._progress.note(f"Ray Tune gave up ({ended.error}); trying again")
                time.sleep(_PAUSE)
        self._progress.end_stage()
        return lost

    def _count(self, stage: Stage) -> None:
        self._progress.count_stage(stage.name, len(stage.runs), *stage.ended(self._storage))

    def _answer_so_far(self) -> None:
        """Lets what searches say be shown; those of earlier sweeps are read on the side."""
        runs = [run for stage in self._stages for run in stage.runs]
        answer = self._progress.answer = AnswerSoFar.of(runs, self._searched)

        def read() -> None:
            with suppress(Exception):  # it is for looking at only: nothing may depend on it
                answer.read(self._storage)

        if answer.places.keys() & results.finished_runs(self._storage):
            threading.Thread(target=read, name="answer so far", daemon=True).start()

    def _left(self, stage: Stage, lost: Collection[str]) -> list[StreamRun]:
        """Runs that can be computed now and were not given up, with their inputs as they were."""
        return [
            run
            for run in stage.ready(self._storage)
            if run.run_id not in self._given_up and not _stands_on(run, lost)
        ]

    def _fit(self, stage: Stage, runs: Sequence[StreamRun]) -> Ended:
        return run_experiment(
            TRAINABLES[runs[0].kind],
            runs,
            name=stage.name,
            searched=self._searched,
            options=self._options,
            storage=self._storage,
            lease=self._lease,
            progress=self._progress,
            watch=self._watch,
        )

    def _give_up(self, run: StreamRun, ended: Ended) -> bool:
        """Records a run as failed whose worker was lost too often without getting any further.

        Returns:
            Whether it had got further, and is to be tried again.
        """
        reason = f"{run.label}: {ended.given_up[run.run_id]}"
        if run.run_id in ended.storage_failed:
            self._given_up[run.run_id] = reason  # nothing can be recorded there
            return False
        state = self._state(run)
        if state.steps > self._come.get(run.run_id, 0):
            self._come[run.run_id] = state.steps
            return True
        self._given_up[run.run_id] = reason
        error = f"its worker was lost too often: {ended.given_up[run.run_id]}"
        row = run_row(run, state, "failed", error)
        with suppress(OutOfReachError):
            results.write(self._storage, "runs", run.run_id, [row])
        return False

    def _state(self, run: StreamRun) -> RunState:
        try:
            saved = self._storage.read_sealed(state_path(run.run_id))
            return RunState(now()) if saved is None else RunState.from_bytes(saved)
        except ValueError:  # damaged
            return RunState(now())


def _stands_on(run: StreamRun, lost: Collection[str]) -> bool:
    parent = run.parent
    return parent is not None and (parent.run_id in lost or _stands_on(parent, lost))


def _lost(run_id: str, reason: str) -> Damage:
    path, _, why = reason.partition(": ")
    return Damage(path, why, (run_id,), is_file=not path.startswith("tables/"))
