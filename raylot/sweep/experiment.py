"""Computes the runs of a sweep with Ray Tune: one experiment, whose workers serve all stages."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ray
from ray import tune
from ray.tune.search import Searcher

from raylot.config import StreamRun, SweepOptions
from raylot.config.doses import in_file_names
from raylot.datasets import key_of
from raylot.foundation import registry
from raylot.foundation.text import one_line
from raylot.storage import OutOfReachError, Storage
from raylot.sweep.batches import LONGEST_ERROR, Batches, Losses, Reports, Terms
from raylot.sweep.bundles import Bundles
from raylot.sweep.cluster import alive_nodes
from raylot.sweep.interrupt_guard import InterruptGuard
from raylot.sweep.loggers import RunsAsCsv, RunsAsJson, loggers
from raylot.sweep.tensorboard import TensorBoard
from raylot.tasks.datasets import packed
from raylot.terminal.progress import STARTING_WORKERS, Progress
from raylot.trials import ray_internals, tune_internals
from raylot.trials.kinds import TRIALS
from raylot.trials.trainable import AnyTrial

#: Seconds without a running trial after which the user is told what Tune waits for.
_WAITING = 30.0


def compute(batches: Batches, terms: Terms) -> None:
    """Computes batches of runs in one Tune experiment; if Tune fails, the rest in another one.

    The cluster must have been joined.
    """
    feeder = Feeder(batches, terms)
    feeder.next_batch()
    if not feeder.has_ended:
        terms.progress.wait_for(STARTING_WORKERS)
    while not feeder.has_ended:
        # Tune is about to write there, and has no patience: wait for the storage before it starts.
        terms.storage.exists("tune")
        try:
            with (
                terms.guard.held(),
                tune_internals.many_pending_trials(),
                tune_internals.any_worker_serves(),
                tune_internals.callbacks_left_uncounted(),
                tune_internals.failed_resets_count_as_losses(),
            ):
                _tuner(feeder, terms).fit()
        except Exception as error:  # as when Tune's own files could not be written
            terms.guard.raise_if_interrupted()
            feeder.reports.losses.error = one_line(error, LONGEST_ERROR)
        if not feeder.has_ended:
            feeder.next_batch()
    if feeder.error:
        raise feeder.error


class Feeder(tune_internals.NotPickled, Searcher):
    """Gives Tune the runs of a batch as trials, and the next batch once all of them have ended.

    So a worker that has computed the last run of a stage computes the first of the next.

    Attributes:
        reports: of the batch under way.
        has_ended: whether there are no more batches.
        error: with which the batches have ended; None: with none.
    """

    def __init__(self, batches: Batches, terms: Terms) -> None:
        super().__init__()
        self.reports = Reports(terms.progress, Losses(), terms.run_ended)
        self.has_ended = False
        self.error: BaseException | None = None
        self._batches, self._terms = batches, terms
        self._has_begun = False
        self._stage = Bundles([], (), lambda: 1)
        self._configurations: dict[str, dict[str, Any]] = {}
        self._running: dict[str, list[StreamRun]] = {}

    def next_batch(self) -> None:
        """Tells what came of a batch, whether its runs have ended or not, and takes the next."""
        losses, self.reports.losses = self.reports.losses, Losses()
        self.reports.ended.clear()
        self._running.clear()
        try:
            runs = self._batches.send(losses) if self._has_begun else next(self._batches)
            self._has_begun = True
            configurations = self._terms.configurations(runs)
            self._configurations = {
                run.run_id: own for run, own in zip(runs, configurations, strict=True)
            }
            options = self._terms.options
            self._stage = Bundles(
                runs, self._terms.alone, lambda: _at_once(options), options.logger == "none"
            )
        except StopIteration:
            self.has_ended = True
        except BaseException as error:  # Tune would make an error of its own of it
            self.has_ended, self.error = True, error

    def suggest(self, trial_id: str) -> Any:
        if self._stage.are_all_out and not self._running:
            self.next_batch()
        if self.has_ended:
            return Searcher.FINISHED
        runs = self._stage.take(len(self._running))
        if not runs:
            return None
        self._running[trial_id] = runs
        first, *others = [self._configurations[run.run_id] for run in runs]
        if not others:
            return first
        common = {name: value for name, value in first.items() if name != "run"}
        run_ids = [run.run_id for run in runs]
        points = [first["run"], *(each["run"] for each in others)]
        return {**common, "runs": points, "run_ids": run_ids, "label": runs[0].label}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        runs = self._running.pop(trial_id, [])
        if not runs or not result or error:
            return
        computed = len(runs) - result.get("left", 0)
        self._stage.learn(runs[:computed], result["time_total_s"])
        self._stage.give_back(runs[computed:])


def _at_once(options: SweepOptions) -> int:
    """Returns how many trials the cluster runs at the same time."""
    there = ray.cluster_resources()  # type: ignore[no-untyped-call]
    asked = {"CPU": options.cpus_per_trial, "GPU": options.gpus_per_trial}
    fitting = [int(there.get(name, 1.0) / each) for name, each in asked.items() if each]
    return max(1, min([*fitting, options.max_concurrent or sys.maxsize]))


def _tuner(feeder: Feeder, terms: Terms) -> tune.Tuner:
    """Builds a Tune experiment, which already writes into the storage."""
    options, storage = terms.options, terms.storage
    runs = [run for stage in terms.stages for run in stage.runs]
    # Loaded here alone: each node's workers share one copy in Ray's object store.
    shared_data = {key: packed(run) for key, run in {key_of(run): run for run in runs}.items()}
    resources = {"cpu": options.cpus_per_trial, "gpu": options.gpus_per_trial}
    trained = tune.with_parameters(
        AnyTrial,
        trials=TRIALS,
        shared_data=shared_data,
        plugin_texts=registry.texts(run.plugins for run in runs),
    )
    listener = _Listener(feeder.reports, resources, terms.guard)
    others = loggers(options, storage, terms.progress)
    trained = tune.with_resources(trained, resources)
    trained.__qualname__ = AnyTrial.__name__  # Ray names actors by it
    return tune.Tuner(
        trained,
        tune_config=tune.TuneConfig(
            num_samples=-1,
            search_alg=feeder,
            scheduler=tune_internals.KeepsActors(),
            max_concurrent_trials=options.max_concurrent,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_folder,
        ),
        run_config=run_config(
            "sweep",
            options,
            storage,
            [listener, RunsAsJson(), RunsAsCsv(), TensorBoard(), *others],
            lambda: terms.is_over(feeder.reports.losses),
        ),
    )


def run_config(
    name: str,
    options: SweepOptions,
    storage: Storage,
    callbacks: list[tune.Callback],
    is_over: Callable[[], bool],
    *,
    checkpoint_at_end: bool = False,
) -> tune.RunConfig:
    """Returns where and how a Tune experiment runs.

    Args:
        name: begins the name of its folder.
        options: what a trial may use.
        storage: where results go.
        callbacks: what Tune tells of trials.
        is_over: says whether the experiment stops.
        checkpoint_at_end: whether Tune asks a trial for a checkpoint when it ends.
    """
    unique = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{time.monotonic_ns() % 10_000:04}"
    return tune.RunConfig(
        name=f"{name}-{unique}",
        storage_path=storage.path("tune"),
        storage_filesystem=None if storage.is_local else storage.filesystem,
        failure_config=tune.FailureConfig(max_failures=options.max_failures),
        checkpoint_config=tune.CheckpointConfig(
            checkpoint_frequency=0, checkpoint_at_end=checkpoint_at_end
        ),
        callbacks=callbacks,
        stop=_Stopper(is_over),
        # In a notebook, Tune's other reporter clears the cell.
        progress_reporter=tune.CLIReporter(),
        verbose=0,
    )


class _Stopper(tune_internals.NotPickled, tune.Stopper):
    """Stops a Tune experiment when a function says so; what its trials have saved stays."""

    def __init__(self, is_over: Callable[[], bool]) -> None:
        self._is_over = is_over

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._is_over()


@dataclass(eq=False)
class _Listener(tune_internals.NotPickled, tune.Callback):
    """Passes on what Ray Tune tells of trials."""

    reports: Reports
    resources: dict[str, float]
    guard: InterruptGuard
    # When a trial was last running.
    last_run: float = field(default_factory=time.monotonic)

    @property
    def progress(self) -> Progress:
        return self.reports.progress

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        if bundle := tune_internals.bundled_runs(trial):
            self.progress.run_started(bundle[0], tune_internals.first_label(trial))
        else:
            self.progress.run_started(trial.trial_id, str(trial))

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        if tune_internals.bundled_runs(trial):
            self.reports.take_bundle(result)
        else:
            self.reports.take(trial.trial_id, result)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        if not tune_internals.bundled_runs(trial):
            self.progress.run_ended(trial.trial_id)

    def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self.progress.note(f"{trial} lost its worker; another continues from the last save")

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        error, losses = tune_internals.trial_error(trial), self.reports.losses
        run_ids = tune_internals.bundled_runs(trial) or [_trial_run(trial).run_id]
        if OutOfReachError.__name__ in error:
            losses.storage_failed.update(run_ids)
        losses.bundles.append((run_ids, one_line(error, LONGEST_ERROR)))
        if len(run_ids) == 1:
            self.progress.run_ended(trial.trial_id, failed=True)
        for run_id in run_ids:
            self.progress.run_interrupted(run_id)

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
    up = len(alive_nodes())
    return f"no trial is running: waiting for a node with {wanted} free ({up} nodes are up)"


def _trial_run(trial: Any) -> StreamRun:
    options = tune_internals.trial_options(trial)
    return TRIALS[tune_internals.trial_kind(trial)].run_model(**options)


def _trial_name(trial: Any) -> str:
    if bundle := tune_internals.bundled_runs(trial):
        return f"{len(bundle)} runs from {tune_internals.first_label(trial)} on"
    return _trial_run(trial).label


def _trial_folder(trial: Any) -> str:
    if bundle := tune_internals.bundled_runs(trial):
        return in_file_names(f"{len(bundle)} runs {tune_internals.trial_kind(trial)} {bundle[0]}")
    run = _trial_run(trial)
    return in_file_names(f"{run.label} {run.run_id}")
