"""From a search space in Ray Tune's terms to finished runs in the storage.

A sweep is a sequence of stages, each a Tune experiment over the runs that are still missing. The
storage alone says which are: repeating a command continues it.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import ray
from ray import tune
from ray.tune.search.variant_generator import generate_variants

import raylot
from raylot import data, results
from raylot.config import StreamRun, Study, SweepOptions, TicketsRun
from raylot.options import OptionError
from raylot.progress import Progress
from raylot.storage import Storage
from raylot.trials.base import RunTrainable
from raylot.trials.stream import StreamTrial, snapshot_tasks
from raylot.trials.tickets import TicketsTrial

Space = Mapping[str, Any]
AnyRun = TypeVar("AnyRun", bound=StreamRun)


def _status(storage: Storage, run_id: str) -> str | None:
    """How a run ended; None if it has not."""
    rows = results.read_run(storage, "runs", run_id)
    return str(rows[0]["status"]) if rows else None


def resolve(space: Space, samples: int = 1, seed: int = 0) -> list[dict[str, Any]]:
    """The points of a search space, the same at every call.

    Args:
        space: option name -> value, ``tune.grid_search(...)``, ``tune.choice(...)``, ...
        samples: draws of everything random, each with the whole grid.
        seed: of these draws.
    """
    random_state = np.random.RandomState(seed)
    return [
        dict(spec["config"])
        for _ in range(samples)
        for _, spec in generate_variants({"config": dict(space)}, random_state=random_state)
    ]


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
        """Missing runs that can be computed now: tickets need their stream to have ended."""
        return [run for run, stream_ended in self._possible(storage) if stream_ended]

    def to_compute(self, storage: Storage) -> list[StreamRun]:
        """Missing runs that can be computed now or once their stream has ended."""
        return [run for run, _ in self._possible(storage)]

    def _possible(self, storage: Storage) -> Iterator[tuple[StreamRun, bool]]:
        """Missing runs, and whether what they stand on is there; without those that can never be.

        No ticket stands on a stream that failed; on one that diverged, up to its last snapshot.
        """
        status = functools.cache(functools.partial(_status, storage))
        snapshots = functools.cache(functools.partial(snapshot_tasks, storage))
        for run in self.missing(storage):
            stream_id = run.stream.run_id
            if not isinstance(run, TicketsRun):
                yield run, True
            elif status(stream_id) is None:
                yield run, False
            elif status(stream_id) != "failed" and run.task in snapshots(stream_id):
                yield run, True


@dataclass(frozen=True)
class Sweep:
    """Streams, and the tickets of their snapshots.

    Attributes:
        study: the options that are not searched over.
        storage: where results are and go.
        stream_space: search space over options of a stream run.
        ticket_space: search space over ``task`` (the snapshot) and options of a tickets run.
        samples: draws of what is random in the spaces.
    """

    study: Study
    storage: Storage
    stream_space: Space
    ticket_space: Space
    samples: int = 1

    @cached_property
    def stages(self) -> list[Stage]:
        """All runs, in the order in which stages need each other.

        Raises:
            OptionError: a point of the space is no valid run.
        """
        both = set(self.stream_space) & set(self.ticket_space)
        if both:
            name = min(both)
            raise OptionError(
                f"{name}={self.ticket_space[name]}: must be searched in one of the two spaces only"
            )
        streams = _distinct(
            self.study.stream_run(**p) for p in resolve(self.stream_space, self.samples)
        )
        tickets = _distinct(
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
        return [
            Stage("streams", StreamTrial, streams),
            Stage("tickets", TicketsTrial, tickets),
        ]

    def plan(self) -> str:
        """What would run: per stage the runs, those finished, and the training steps left."""
        lines = [f"{'stage':<10}{'runs':>8}{'finished':>10}{'to run':>8}{'steps per run':>16}"
                 f"{'steps to run':>16}"]  # fmt: skip
        for stage in self.stages:
            missing = stage.to_compute(self.storage)
            costs = sorted({run.training_steps for run in stage.runs})
            per_run = f"{costs[0]:,}" + (f"-{costs[-1]:,}" if len(costs) > 1 else "")
            todo = sum(run.training_steps for run in missing)
            lines.append(
                f"{stage.name:<10}{len(stage.runs):>8,}"
                f"{len(stage.runs) - len(stage.missing(self.storage)):>10,}"
                f"{len(missing):>8,}{per_run:>16}{todo:>16,}"
            )
        return "\n".join(lines)

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
            with _ray_session(self.study), Progress(steps) as progress:
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
        shared, points = _split(runs, {*self.stream_space, *self.ticket_space})
        resources = {"cpu": self.study.cpus_per_trial, "gpu": self.study.gpus_per_trial}
        tuner = tune.Tuner(
            tune.with_resources(stage.trainable, resources),
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
                name=f"{stage.name}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}",
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
        blocked: of these, tickets whose stream diverged or failed before their snapshot.
        lost: why trials were given up, whose worker or storage failed too often.
        interrupted: whether the sweep was stopped before it was through.
    """

    finished: int
    diverged: int
    failures: Sequence[str]
    missing: int
    blocked: int
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
                f"{self.blocked} tickets cannot be searched: their stream diverged or failed "
                "before the snapshot."
            )
        if self.interrupted:
            lines.append(INTERRUPTED)
        elif self.missing > self.blocked:
            lines.append("The same command tries again what was given up.")
        return "\n".join(lines)


#: What is said after Ctrl-C.
INTERRUPTED = "Interrupted. What was saved is kept: the same command continues it."


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


def _distinct(runs: Iterable[AnyRun]) -> list[AnyRun]:
    """Each run once: random draws of a search space may repeat."""
    return list({run.run_id: run for run in runs}.values())


def _split(
    runs: Sequence[StreamRun], searched: set[str]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The options that all runs share, and per run the others: those searched, those that vary."""
    everything = [run.model_dump(mode="json") for run in runs]
    first = everything[0]
    varied = {
        name for name in first
        if name in searched or any(options[name] != first[name] for options in everything)
    }  # fmt: skip
    shared = {name: value for name, value in first.items() if name not in varied}
    return shared, [{name: options[name] for name in varied} for options in everything]


_TRAINABLES = {trainable.__name__: trainable for trainable in (StreamTrial, TicketsTrial)}


def _trial_run(trial: Any) -> StreamRun:
    model = _TRAINABLES[trial.trainable_name].run_model
    return model(**trial.config["shared"], **trial.config["run"])


def _trial_name(trial: Any) -> str:
    return _trial_run(trial).label


def _trial_folder(trial: Any) -> str:
    run = _trial_run(trial)
    return f"{run.label} {run.run_id}".replace(" ", "_")


@contextlib.contextmanager
def _ray_session(options: SweepOptions) -> Iterator[None]:
    """Connects to Ray, or starts it, and undoes that; a session that is open already is used.

    Raises:
        OptionError: see `Sweep.run`.
    """
    # `Progress` shows what is going on; Tune's own reports would garble it.
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    is_ours = not ray.is_initialized()
    if is_ours:
        elsewhere = options.address not in (None, "local")
        try:
            _check_reachable(options.address or os.environ.get("RAY_ADDRESS", ""))
            ray.init(
                address=options.address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                # A cluster's nodes need not have raylot installed.
                runtime_env={"py_modules": [raylot]} if elsewhere else None,
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise OptionError(
                f"address={options.address}: must be the address of a Ray cluster that can be "
                f"reached ({' '.join(str(error).split())})"
            ) from None
    try:
        _check_resources(options)
        yield
    finally:
        if is_ours:
            ray.shutdown()


def _check_reachable(address: str) -> None:
    """Ray itself tries for minutes to reach a cluster that is not there.

    Raises:
        OSError: nothing answers at ``host:port``.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def _check_resources(options: SweepOptions) -> None:
    largest: dict[str, float] = {"CPU": 0.0, "GPU": 0.0}
    for node in ray.nodes():  # type: ignore[no-untyped-call]
        for name in largest:
            largest[name] = max(largest[name], node["Resources"].get(name, 0.0))
    for option, wanted, name in (
        ("cpus_per_trial", options.cpus_per_trial, "CPU"),
        ("gpus_per_trial", options.gpus_per_trial, "GPU"),
    ):
        if wanted > largest[name]:
            raise OptionError(
                f"{option}={wanted:g}: must be at most {largest[name]:g}, "
                f"the most {name}s that one node of this cluster has"
            )
