"""Computes the missing runs of a sweep with Ray Tune, through lost workers and damaged files."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import ray
from ray import tune

from raylot import results
from raylot.config import StreamRun, SweepOptions
from raylot.config.doses import in_file_names
from raylot.datasets import key_of
from raylot.foundation import registry
from raylot.foundation.text import one_line
from raylot.results.integrity import Damage, ended_runs, inspect, mend
from raylot.results.manifest import Manifest
from raylot.storage import OutOfReachError, Storage
from raylot.sweep.interrupt_guard import InterruptGuard
from raylot.sweep.loggers import loggers
from raylot.sweep.space import split
from raylot.sweep.stage import Stage
from raylot.sweep.tensorboard import TensorBoard
from raylot.tasks.datasets import packed
from raylot.terminal.preliminary import AnswerSoFar
from raylot.terminal.progress import STARTING_WORKERS, Progress
from raylot.trials import ray_internals
from raylot.trials.base import RunTrainable
from raylot.trials.measurement import MeasurementTrial, TicketMeasurementTrial
from raylot.trials.probes import ProbeTrial
from raylot.trials.record import now, run_row
from raylot.trials.retrainings import RetrainingTrial
from raylot.trials.state import RunState, state_path
from raylot.trials.stream import StreamTrial
from raylot.trials.ticket_barriers import TicketBarrierTrial
from raylot.trials.ticket_stream import TicketStreamTrial
from raylot.trials.tickets import TicketsTrial

#: Kind of run -> what computes it.
TRAINABLES: dict[str, type[RunTrainable]] = {
    trainable.run_model.kind: trainable
    for trainable in (
        StreamTrial,
        ProbeTrial,
        RetrainingTrial,
        MeasurementTrial,
        TicketsTrial,
        TicketBarrierTrial,
        TicketStreamTrial,
        TicketMeasurementTrial,
    )
}

#: Times that Tune may fail in a row without any run ending, and that damage may be repaired.
_TRIES = 5

#: Seconds before Tune is tried again.
_PAUSE = 5.0

#: Damaged files that the user is told of one by one.
_LISTED = 10

#: Characters of an error that are kept: its end says what happened.
_LONGEST_ERROR = 300

#: Seconds without a running trial after which the user is told what Tune waits for.
_WAITING = 30.0


class _TooManyFailedError(Exception):
    """So many runs have failed that the sweep stops."""


@dataclass
class Losses:
    """The runs that an experiment could not compute, and why.

    Attributes:
        given_up: runs whose worker was lost too often, or could not use the storage: run_id -> why.
        storage_failed: those of them that could not use the storage.
        inputs: ended runs of which something that others need is gone: run_id -> what.
        kept: ended runs that cannot grow here: run_id -> why.
        failed: runs that ended with an error.
        error: why Tune itself failed; empty if it did not.
    """

    given_up: dict[str, str] = field(default_factory=dict)
    storage_failed: set[str] = field(default_factory=set)
    inputs: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    error: str = ""


@dataclass
class Execution:
    """The work of one command on a storage that it is in charge of.

    Attributes:
        stages: of the sweep, in the order in which they need each other.
        storage: where results go.
        options: what a trial may use.
        searched: options that are searched over; Tune's tables and TensorBoard show them.
        lease: path of the file that says that this sweep is in charge.
        progress: shows the user how far the sweep is.
        guard: knows whether the user has interrupted the sweep.
        ended: the ended runs, as the table ``runs`` said when it was last read: before the
            execution, and after each Tune experiment.
    """

    stages: Sequence[Stage]
    storage: Storage
    options: SweepOptions
    searched: Collection[str]
    lease: str
    progress: Progress
    guard: InterruptGuard
    ended: dict[str, Manifest] = field(default_factory=dict)
    # Why runs were given up: run_id -> reason.
    _given_up: dict[str, str] = field(default_factory=dict)
    # Steps that a run had saved when its worker was last lost too often, by run_id.
    _steps_saved: dict[str, int] = field(default_factory=dict)
    # Runs that have failed since this command began.
    _failed: set[str] = field(default_factory=set)
    _has_repaired: bool = False

    def run(self) -> list[str]:
        """Computes what can be computed; returns why the rest was given up."""
        self._show_earlier_answers()
        try:
            self._compute()
        except _TooManyFailedError:
            failed = "1 run" if len(self._failed) == 1 else f"{len(self._failed)} runs"
            asked = f"--fail-fast {self.options.fail_fast}"
            self._given_up["the rest"] = f"the rest, as {failed} failed ({asked})"
        return list(dict.fromkeys(self._given_up.values()))

    def _compute(self) -> None:
        """Computes all stages, again where files turn out to be damaged.

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
                self._run_stage(stage, lost)
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
        for damage in damages[:_LISTED]:
            again = f"; {len(damage.run_ids)} runs are computed again" if damage.run_ids else ""
            self.progress.note(f"damaged: {damage}{again}")
        if len(damages) > _LISTED:
            self.progress.note(f"damaged: ... and {len(damages) - _LISTED} more")
        mend(self.storage, damages)
        for run_id in {run_id for damage in damages for run_id in damage.run_ids}:
            self._has_repaired = True
            self.ended.pop(run_id, None)

    def retry_failed(self) -> None:
        """Makes the runs that ended with an error count as missing."""
        failed = {run_id for run_id, run in self.ended.items() if run.status == "failed"}
        results.forget_runs(self.storage, failed)
        for run_id in failed:
            del self.ended[run_id]

    @property
    def _planned(self) -> set[str]:
        return {run.run_id for stage in self.stages for run in stage.runs}

    def _run_stage(self, stage: Stage, lost_inputs: dict[str, str]) -> None:
        """Computes a stage's runs, in as many Tune experiments as that takes.

        Args:
            stage: of the sweep.
            lost_inputs: ended runs of which something is gone: run_id -> what. Runs that need them
                are left out; those that this stage finds are added.
        """
        self.progress.begin_stage(stage.name)
        tries = _TRIES
        while runs := self._left(stage, lost_inputs):
            growing = {run.run_id for run in runs} & self.ended.keys()
            losses = self._experiment(stage, runs)
            results.drop_replaced(self.storage, growing)
            lost_inputs |= losses.inputs
            self._given_up |= losses.kept
            self.ended = ended_runs(self.storage, self._planned)
            # A worker may have been lost after it had ended its run.
            lost = [r for r in stage.missing(self.ended) if r.run_id in losses.given_up]
            advanced = [self._give_up(run, losses) for run in lost]
            self._count(stage)
            self._failed |= losses.failed | {
                run.run_id for run, further in zip(lost, advanced, strict=True) if not further
            }
            if self._is_over(self._failed):
                self.progress.end_stage()
                raise _TooManyFailedError
            has_advanced = any(advanced) or len(self._left(stage, lost_inputs)) < len(runs)
            tries = _TRIES if has_advanced else tries - 1
            if not tries:
                reason = losses.error or "Ray Tune ended without a reason"
                self._given_up |= dict.fromkeys((run.run_id for run in runs), reason)
            elif losses.error:
                self.progress.note(f"Ray Tune gave up ({losses.error}); trying again")
                if not has_advanced:
                    time.sleep(_PAUSE)
        self.progress.end_stage()

    def _is_over(self, failed: Collection[str]) -> bool:
        """Returns whether so many runs have failed that the sweep stops."""
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

    # -------------------------------------------------- one Tune experiment

    def _experiment(self, stage: Stage, runs: Sequence[StreamRun]) -> Losses:
        """Runs one Tune experiment to its end, or until the user interrupts the sweep."""
        trainable = TRAINABLES[runs[0].kind]
        shared, points = split(runs, set(self.searched))
        # Loaded here alone: each node's workers share one copy in Ray's object store.
        shared_data = {key: packed(run) for key, run in {key_of(run): run for run in runs}.items()}
        texts = registry.texts(run.plugins for run in runs)
        resources = {"cpu": self.options.cpus_per_trial, "gpu": self.options.gpus_per_trial}
        trained = tune.with_resources(
            tune.with_parameters(trainable, shared_data=shared_data, plugin_texts=texts), resources
        )
        trained.__qualname__ = trainable.__name__  # Ray names actors by it: else all are the same
        space = {
            "kind": runs[0].kind,
            "storage": self.storage.root,
            "patience": self.storage.patience,
            "lease": self.lease,
            "save_interval": self.options.save_interval,
            "shared": shared,
            "run": tune.grid_search(points),
        }
        losses = Losses()
        listener = _Listener(self.progress, losses, resources, self.guard)
        others = loggers(self.options, self.storage, self.progress)
        callbacks: list[tune.Callback] = [listener, TensorBoard(), *others]
        # Tune is about to write there, and has no patience: wait for the storage before it starts.
        self.storage.exists("tune")
        try:
            with self.guard.held():
                stop = Stopper(lambda: self._is_over(self._failed | losses.failed))
                self._tuner(trained, space, callbacks, stage.name, stop).fit()
        except Exception as error:  # as when Tune's own files could not be written
            self.guard.raise_if_interrupted()
            losses.error = one_line(error, _LONGEST_ERROR)
        return losses

    def _tuner(
        self,
        trainable: Any,
        space: dict[str, Any],
        callbacks: list[tune.Callback],
        stage: str,
        stop: tune.Stopper,
    ) -> tune.Tuner:
        """Builds a Tune experiment, which already writes into the storage."""
        unique = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{time.monotonic_ns() % 10_000:04}"
        return tune.Tuner(
            trainable,
            param_space=space,
            tune_config=tune.TuneConfig(
                max_concurrent_trials=self.options.max_concurrent,
                reuse_actors=True,
                trial_name_creator=_trial_name,
                trial_dirname_creator=_trial_folder,
            ),
            run_config=tune.RunConfig(
                name=f"{stage}-{unique}".replace(" ", "-"),
                storage_path=self.storage.path("tune"),
                storage_filesystem=None if self.storage.is_local else self.storage.filesystem,
                failure_config=tune.FailureConfig(max_failures=self.options.max_failures),
                checkpoint_config=tune.CheckpointConfig(
                    checkpoint_frequency=0, checkpoint_at_end=False
                ),
                callbacks=callbacks,
                stop=stop,
                # In a notebook, Tune's other reporter clears the cell.
                progress_reporter=tune.CLIReporter(),
                verbose=0,
            ),
        )


class Stopper(ray_internals.NotPickled, tune.Stopper):
    """Stops a Tune experiment when a function says so; what its trials have saved stays."""

    def __init__(self, is_over: Callable[[], bool]) -> None:
        self._is_over = is_over

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._is_over()


@dataclass(eq=False)
class _Listener(ray_internals.NotPickled, tune.Callback):
    """Passes on what Ray Tune reports: to `Progress`, and to `Losses`."""

    progress: Progress
    losses: Losses
    resources: dict[str, float]
    guard: InterruptGuard
    # When a trial was last running, and remarks that the user has seen of any run.
    last_run: float = field(default_factory=time.monotonic)
    remarks: set[str] = field(default_factory=set)

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self.progress.run_started(trial.trial_id, str(trial))

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        for note in result["notes"]:
            remark = note.removeprefix(f"{result['label']}: ")
            if remark == note or remark not in self.remarks:  # each run's row has its own
                self.progress.note(note)
            self.remarks.add(remark)
        if result["failed"]:
            self.losses.failed.add(result["run_id"])
        if "kept" in result:
            self.losses.kept[result["run_id"]] = result["kept"]
        if "lost_run" in result:
            self.losses.inputs[result["lost_run"]] = result["lost"]
        self.progress.run_advanced(trial.trial_id, result)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self.progress.run_ended(trial.trial_id)

    def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self.progress.note(f"{trial} lost its worker; another continues from the last save")

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        run_id = _trial_run(trial).run_id
        error = ray_internals.trial_error(trial)
        if OutOfReachError.__name__ in error:
            self.losses.storage_failed.add(run_id)
        self.losses.given_up[run_id] = one_line(error, _LONGEST_ERROR)
        self.progress.run_ended(trial.trial_id, failed=True)

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        self.guard.raise_if_interrupted()
        now = time.monotonic()
        if any(trial.status == "RUNNING" for trial in trials):
            self.last_run = now
        elif now > self.last_run + _WAITING:
            self.last_run = now  # look again after as long
            is_starting = ray_internals.has_placed_trials()
            self.progress.wait_for(
                STARTING_WORKERS if is_starting else _a_free_node(self.resources)
            )


def _a_free_node(resources: dict[str, float]) -> str:
    wanted = " and ".join(f"{n:g} {name.upper()}s" for name, n in resources.items() if n)
    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    return f"no trial is running: waiting for a node with {wanted} free ({len(alive)} nodes are up)"


def _needs(run: StreamRun, lost: Collection[str]) -> bool:
    parent = run.parent
    return parent is not None and (parent.run_id in lost or _needs(parent, lost))


def _lost(run_id: str, reason: str) -> Damage:
    path, _, why = reason.partition(": ")
    return Damage(path, why, (run_id,), is_file=not path.startswith("tables/"))


def _trial_run(trial: Any) -> StreamRun:
    options = ray_internals.trial_options(trial)
    return TRAINABLES[ray_internals.trial_kind(trial)].run_model(**options)


def _trial_name(trial: Any) -> str:
    return _trial_run(trial).label


def _trial_folder(trial: Any) -> str:
    run = _trial_run(trial)
    return in_file_names(f"{run.label} {run.run_id}")
