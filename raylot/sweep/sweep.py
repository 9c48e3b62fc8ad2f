"""From a search space in Ray Tune's terms to finished runs in the storage.

A sweep is a sequence of stages, each a Tune experiment over the runs that are still missing. The
storage alone says which are: repeating a command continues it.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd
from ray import tune

from raylot import data, results
from raylot.config import StreamRun, Study
from raylot.options import OptionError
from raylot.progress import Progress
from raylot.storage import Storage
from raylot.sweep.cluster import ray_session
from raylot.sweep.prediction import predicted, trials_on_this_machine
from raylot.sweep.space import Space, distinct, resolve, split
from raylot.trials.base import RunTrainable
from raylot.trials.stream import StreamTrial, snapshot_tasks
from raylot.trials.ticket_stream import TicketStreamTrial
from raylot.trials.tickets import TicketsTrial


def _statuses(storage: Storage) -> dict[str, str]:
    """How each run that has ended did so, by run_id."""
    runs = results.read(storage, "runs", ["run_id", "status"])
    return dict(zip(runs["run_id"], runs["status"], strict=True))


@dataclass(frozen=True)
class Stage:
    """Runs of one kind, all of which could run at once."""

    name: str
    trainable: type[RunTrainable]
    runs: Sequence[StreamRun]

    def missing(self, storage: Storage) -> list[StreamRun]:
        """Runs that have not ended."""
        ended = results.finished_runs(storage)
        return [run for run in self.runs if run.run_id not in ended]

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
        status = _statuses(storage) if any(run.parent for run in missing) else {}
        snapshots = functools.cache(functools.partial(snapshot_tasks, storage))

        def can_start(run: StreamRun) -> bool:
            parent = run.parent
            if parent is None:
                return True
            ended = status.get(parent.run_id)
            if ended is None:
                return can_start(parent)
            if parent.parent is None:
                return ended != "failed" and getattr(run, "task", 0) in snapshots(parent.run_id)
            return ended == "finished"

        for run in missing:
            if can_start(run):
                yield run, run.parent is None or run.parent.run_id in status


@dataclass(frozen=True)
class Sweep:
    """Streams, the tickets of their snapshots, and the tickets' own streams if asked for.

    Attributes:
        study: the options that are not searched over.
        storage: where results are and go.
        stream_space: search space over options of a stream run.
        ticket_space: search space over ``task`` (the snapshot) and options of a tickets run.
        ticket_stream_space: search space over ``subnetwork``, ``ticket`` and ``ticket_tasks``;
            used if the study's ``ticket_tasks`` is not 0.
        samples: draws of what is random in the spaces.
    """

    study: Study
    storage: Storage
    stream_space: Space
    ticket_space: Space
    ticket_stream_space: Space = field(default_factory=dict)
    samples: int = 1

    @cached_property
    def stages(self) -> list[Stage]:
        """All runs, in the order in which stages need each other.

        Raises:
            OptionError: a point of the space is no valid run.
        """
        spaces = (self.stream_space, self.ticket_space, self.ticket_stream_space)
        for earlier, later in ((0, 1), (0, 2), (1, 2)):
            for name in sorted(set(spaces[earlier]) & set(spaces[later])):
                raise OptionError(
                    f"{name}={spaces[later][name]}: must be searched in one of the spaces only"
                )
        streams = distinct(
            self.study.stream_run(**p) for p in resolve(self.stream_space, self.samples)
        )
        tickets = distinct(
            self.study.tickets_run(**stream.model_dump(include=set(self.stream_space)), **point)
            for stream in streams
            for point in resolve(self.ticket_space, self.samples)
        )
        known = {stream.run_id for stream in streams}
        for run in tickets:
            if run.stream.run_id not in known:
                names = sorted(set(self.ticket_space) & set(StreamRun.model_fields))
                raise OptionError(
                    f"ticket_space={', '.join(names)}: must not hold options of a stream; "
                    "search these in stream_space"
                )
        stages = [
            Stage("streams", StreamTrial, streams),
            Stage("tickets", TicketsTrial, tickets),
        ]
        if self.study.ticket_tasks:
            searched = {*self.stream_space, *self.ticket_space}
            ticket_streams = distinct(
                self.study.ticket_stream_run(**ticket.model_dump(include=searched), **point)
                for ticket in tickets
                if ticket.task in (self.study.stream_snapshots or self.study.snapshots)
                and ticket.sparsity in self.study.streamed_sparsities
                for point in resolve(self.ticket_stream_space, self.samples)
            )
            stages.append(Stage("ticket streams", TicketStreamTrial, ticket_streams))
        return stages

    def plan(self) -> str:
        """What would run: per stage the runs, those finished, and the training steps left."""
        lines = [f"{'stage':<15}{'runs':>8}{'finished':>10}{'to run':>8}{'steps per run':>21}"
                 f"{'steps to run':>16}"]  # fmt: skip
        for stage in self.stages:
            missing = stage.to_compute(self.storage)
            costs = sorted({run.training_steps for run in stage.runs})
            per_run = f"{costs[0]:,}" + (f"-{costs[-1]:,}" if len(costs) > 1 else "")
            todo = sum(run.training_steps for run in missing)
            lines.append(
                f"{stage.name:<15}{len(stage.runs):>8,}"
                f"{len(stage.runs) - len(stage.missing(self.storage)):>10,}"
                f"{len(missing):>8,}{per_run:>21}{todo:>16,}"
            )
        return "\n".join(lines)

    def prediction(self) -> str:
        """How long what would run takes on this machine, measured by training for some seconds."""
        runs = [stage.to_compute(self.storage) for stage in self.stages]
        if not any(runs):
            return "Nothing is left to compute."
        if self.study.download and self.study.dataset != "digits":
            return "Not predicted: the data set might have to be downloaded."
        if self.study.gpus_per_trial:
            return "Not predicted: trials run on GPUs, and here only this machine's CPU is tried."
        at_once = trials_on_this_machine(self.study.cpus_per_trial, self.study.max_concurrent)
        return predicted(runs, at_once)

    def check(self) -> None:
        """Makes sure of everything that can be known before Ray starts.

        Raises:
            OptionError: data cannot be loaded, storage not written, a run is not valid.
        """
        assert self.stages
        data.check_available(self.study)
        self.storage.check_writable()

    def forget_failed(self) -> int:
        """Makes runs that ended with an error count as missing; returns how many."""
        runs = results.read(self.storage, "runs")
        planned = {run.run_id for stage in self.stages for run in stage.runs}
        failed = runs[(runs["status"] == "failed") & runs["run_id"].isin(planned)]
        for run_id in failed["run_id"]:
            results.forget_run(self.storage, run_id)
        return len(failed)

    def run(self) -> Outcome:
        """Computes all missing runs, stage by stage.

        A run that fails is recorded, and the rest goes on.

        Raises:
            OptionError: the cluster cannot be reached or can never grant what a trial asks for.
        """
        interrupted = False
        lost: list[str] = []
        to_compute = {stage.name: stage.to_compute(self.storage) for stage in self.stages}
        if any(to_compute.values()):
            steps = sum(run.training_steps for runs in to_compute.values() for run in runs)
            with ray_session(self.study), Progress(steps) as progress:
                for stage in self.stages:
                    before = len(stage.runs) - len(to_compute[stage.name])
                    progress.begin_stage(stage.name, len(stage.runs), before)
                    if runs := stage.ready(self.storage):
                        errors = self._fit(stage, runs, progress)
                        lost += errors
                        # After Ctrl-C Tune returns as if all were well; the storage knows better.
                        ended = results.finished_runs(self.storage)
                        if sum(run.run_id not in ended for run in runs) > len(errors):
                            interrupted = True
                            break
        return self._outcome(interrupted, lost)

    def _fit(self, stage: Stage, runs: Sequence[StreamRun], progress: Progress) -> list[str]:
        """Runs one Tune experiment; returns why trials were given up."""
        started = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        searched = {*self.stream_space, *self.ticket_space, *self.ticket_stream_space}
        shared, points = split(runs, searched)
        # Loaded here alone: each node's workers share one copy in Ray's object store.
        datasets = {run.dataset: data.to_arrays(data.read(run)) for run in _each_dataset(runs)}
        resources = {"cpu": self.study.cpus_per_trial, "gpu": self.study.gpus_per_trial}
        tuner = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(stage.trainable, datasets=datasets), resources
            ),
            param_space={
                "storage": self.storage.root,
                "save_interval": self.study.save_interval,
                "shared": shared,
                "run": tune.grid_search(points),
            },
            tune_config=tune.TuneConfig(
                max_concurrent_trials=self.study.max_concurrent,
                reuse_actors=True,
                trial_name_creator=_trial_name,
                trial_dirname_creator=_trial_folder,
            ),
            run_config=tune.RunConfig(
                name=f"{stage.name}-{started}".replace(" ", "-"),
                storage_path=self.storage.path("tune"),
                storage_filesystem=None if self.storage.is_local else self.storage.filesystem,
                failure_config=tune.FailureConfig(max_failures=self.study.max_failures),
                checkpoint_config=tune.CheckpointConfig(
                    checkpoint_frequency=0, checkpoint_at_end=False
                ),
                callbacks=[_ProgressCallback(progress)],
                verbose=0,
            ),
        )
        return [" ".join(str(error).split())[-300:] for error in tuner.fit().errors]

    def _outcome(self, interrupted: bool, lost: list[str]) -> Outcome:
        runs = results.read(self.storage, "runs")
        planned = {run.run_id: run for stage in self.stages for run in stage.runs}
        ended = runs[runs["run_id"].isin(planned)]
        failures = [
            f"{planned[run_id].label} ({run_id}): {error}"
            for run_id, status, error in zip(
                ended["run_id"], ended["status"], ended["error"], strict=True
            )
            if status == "failed"
        ]
        return Outcome(
            finished=int((ended["status"] == "finished").sum()),
            diverged=int((ended["status"] == "diverged").sum()),
            failures=failures,
            missing=len(planned) - len(ended),
            blocked=sum(
                len(stage.missing(self.storage)) - len(stage.to_compute(self.storage))
                for stage in self.stages
            ),
            plasticity_share=_plasticity_share(ended[ended["kind"] == StreamRun.kind]),
            lost=lost,
            interrupted=interrupted,
        )


@dataclass(frozen=True)
class Outcome:
    """How the runs of a sweep stand.

    Attributes:
        finished: runs that ended well.
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
        lines += [f"  failed: {failure}" for failure in self.failures[:5]]
        lines += [f"  given up: {error}" for error in self.lost[:5]]
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
            lines.append(INTERRUPTED)
        elif self.missing > self.blocked:
            lines.append("The same command tries again what was given up.")
        return "\n".join(lines)


#: What is said after Ctrl-C.
INTERRUPTED = "Interrupted. What was saved is kept: the same command continues it."


def _plasticity_share(streams: pd.DataFrame) -> float | None:
    measured = streams.dropna(subset=["plasticity_seconds"])
    seconds = float(measured["seconds"].sum())
    return float(measured["plasticity_seconds"].sum()) / seconds if seconds else None


class _ProgressCallback(tune.Callback):
    """Tells `Progress` what Ray Tune reports."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks, into a file that raylot never reads; a terminal cannot be."""
        return {}

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._progress.run_started(trial.trial_id, str(trial))

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self._progress.run_advanced(trial.trial_id, result)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._progress.run_ended(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._progress.run_ended(trial.trial_id, failed=True)


def _each_dataset(runs: Sequence[StreamRun]) -> list[StreamRun]:
    """A run on each data set that runs are on."""
    return list({run.dataset: run for run in runs}.values())


_TRAINABLES = {
    trainable.__name__: trainable for trainable in (StreamTrial, TicketsTrial, TicketStreamTrial)
}


def _trial_run(trial: Any) -> StreamRun:
    model = _TRAINABLES[trial.trainable_name].run_model
    return model(**trial.config["shared"], **trial.config["run"])


def _trial_name(trial: Any) -> str:
    return _trial_run(trial).label


def _trial_folder(trial: Any) -> str:
    run = _trial_run(trial)
    return f"{run.label} {run.run_id}".replace(" ", "_")
