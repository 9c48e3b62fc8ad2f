"""One Tune experiment over runs of one kind, and what is heard from its trials."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray import tune

from raylot.config import StreamRun, SweepOptions
from raylot.foundation import registry
from raylot.foundation.text import one_line
from raylot.storage import OutOfReachError, Storage
from raylot.sweep import ray_internals
from raylot.sweep.loggers import loggers
from raylot.sweep.space import split
from raylot.sweep.tensorboard import TensorBoard
from raylot.sweep.watch import Watch
from raylot.tasks.datasets import read, to_arrays
from raylot.terminal.progress import STARTING_WORKERS, Progress
from raylot.trials.base import RunTrainable
from raylot.trials.stream import StreamTrial
from raylot.trials.ticket_stream import TicketStreamTrial
from raylot.trials.tickets import TicketsTrial

#: Characters of an error that are kept: its end says what happened.
_LONGEST_ERROR = 300

#: Seconds without a running trial after which the user is told what is waited for.
_WAITING = 30.0


@dataclass
class Ended:
    """What became of the runs of an experiment, beside what is in the storage.

    Attributes:
        given_up: runs whose worker was lost too often, or could not use the storage: run_id -> why.
        storage_failed: those of them that could not use the storage.
        lost_inputs: ended runs of which something that others need is gone: run_id -> what.
        error: why Tune itself gave up; empty if it did not.
    """

    given_up: dict[str, str] = field(default_factory=dict)
    storage_failed: set[str] = field(default_factory=set)
    lost_inputs: dict[str, str] = field(default_factory=dict)
    error: str = ""


def run_experiment(
    trainable: type[RunTrainable],
    runs: Sequence[StreamRun],
    *,
    name: str,
    searched: Collection[str],
    options: SweepOptions,
    storage: Storage,
    lease: str,
    progress: Progress,
    watch: Watch,
) -> Ended:
    """Runs one Tune experiment to its end.

    Args:
        trainable: of this kind of run.
        runs: what to compute.
        name: of the stage, in the names of folders.
        searched: options that are searched over, for Tune's tables and TensorBoard.
        options: what a trial may use.
        storage: where results go.
        lease: path of the file that says that this sweep is in charge there.
        progress: is told what is going on.
        watch: knows whether the sweep is told to stop.

    Raises:
        KeyboardInterrupt: it is.
    """
    started = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{time.monotonic_ns() % 10_000:04}"
    shared, points = split(runs, set(searched))
    # Loaded here alone: each node's workers share one copy in Ray's object store.
    datasets = {run.dataset: to_arrays(read(run)) for run in _each_dataset(runs)}
    resources = {"cpu": options.cpus_per_trial, "gpu": options.gpus_per_trial}
    ended = Ended()
    shared_by_all = {"datasets": datasets, "plugin_texts": registry.texts(r.plugins for r in runs)}
    trained = tune.with_resources(tune.with_parameters(trainable, **shared_by_all), resources)
    trained.__qualname__ = trainable.__name__  # what Ray calls actors; else all are called alike
    space = {
        "storage": storage.root,
        "patience": storage.patience,
        "lease": lease,
        "save_interval": options.save_interval,
        "shared": shared,
        "run": tune.grid_search(points),
    }
    callbacks = [
        _Listener(progress, ended, resources, watch),
        TensorBoard(),
        *loggers(options, storage, progress),
    ]
    storage.exists("tune")  # waits, with patience; Tune, which is about to write there, does not
    try:
        with watch.held():
            _tuner(trained, space, callbacks, f"{name}-{started}", options, storage).fit()
    except Exception as error:  # Tune's own files could not be written, for instance
        watch.raise_if_interrupted()
        ended.error = one_line(error, _LONGEST_ERROR)
    return ended


def _tuner(
    trainable: Any,
    space: dict[str, Any],
    callbacks: list[tune.Callback],
    name: str,
    options: SweepOptions,
    storage: Storage,
) -> tune.Tuner:
    """Builds a Tune experiment, which already writes into the storage."""
    return tune.Tuner(
        trainable,
        param_space=space,
        tune_config=tune.TuneConfig(
            max_concurrent_trials=options.max_concurrent,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_folder,
        ),
        run_config=tune.RunConfig(
            name=name.replace(" ", "-"),
            storage_path=storage.path("tune"),
            storage_filesystem=None if storage.is_local else storage.filesystem,
            failure_config=tune.FailureConfig(max_failures=options.max_failures),
            checkpoint_config=tune.CheckpointConfig(
                checkpoint_frequency=0, checkpoint_at_end=False
            ),
            callbacks=callbacks,
            progress_reporter=tune.CLIReporter(),  # in a notebook, Tune's other one clears the cell
            verbose=0,
        ),
    )


class _Listener(tune.Callback):
    """Hears what Ray Tune reports: tells `Progress`, and notes what became of runs."""

    def __init__(
        self, progress: Progress, ended: Ended, resources: dict[str, float], watch: Watch
    ) -> None:
        self._progress, self._ended, self._resources = progress, ended, resources
        self._watch = watch
        self._last_run = time.monotonic()
        self._remarks: set[str] = set()  # of runs, told so far

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks, into a file that raylot never reads; a terminal cannot be."""
        return {}

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._progress.run_started(trial.trial_id, str(trial))

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        for note in result["notes"]:
            remark = note.removeprefix(f"{result['label']}: ")
            if remark == note or remark not in self._remarks:  # each run's row has its own
                self._progress.note(note)
            self._remarks.add(remark)
        if "lost_run" in result:
            self._ended.lost_inputs[result["lost_run"]] = result["lost"]
        self._progress.run_advanced(trial.trial_id, result)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._progress.run_ended(trial.trial_id)

    def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self._progress.note(f"{trial} lost its worker; another takes over what was saved")

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        run_id = _trial_run(trial).run_id
        error = str(
            trial.get_error() or "no reason is known"
        )  # as text: errors come as pickles too
        if OutOfReachError.__name__ in error:
            self._ended.storage_failed.add(run_id)
        self._ended.given_up[run_id] = one_line(error, _LONGEST_ERROR)
        self._progress.run_ended(trial.trial_id, failed=True)

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        self._watch.raise_if_interrupted()
        now = time.monotonic()
        if any(trial.status == "RUNNING" for trial in trials):
            self._last_run = now
        elif now > self._last_run + _WAITING:
            self._last_run = now  # look again after as long
            is_starting = ray_internals.has_placed_trials()
            self._progress.wait_for(
                STARTING_WORKERS if is_starting else _a_free_node(self._resources)
            )


def _a_free_node(resources: dict[str, float]) -> str:
    wanted = " and ".join(f"{n:g} {name.upper()}s" for name, n in resources.items() if n)
    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    return f"no trial is running: waiting for a node with {wanted} free ({len(alive)} nodes are up)"


def _each_dataset(runs: Sequence[StreamRun]) -> list[StreamRun]:
    """A run on each data set that runs are on."""
    return list({run.dataset: run for run in runs}.values())


#: Kind of run -> what computes it.
TRAINABLES: dict[str, type[RunTrainable]] = {
    trainable.run_model.kind: trainable
    for trainable in (StreamTrial, TicketsTrial, TicketStreamTrial)
}


def _trial_run(trial: Any) -> StreamRun:
    names = {trainable.__name__: trainable for trainable in TRAINABLES.values()}
    model = names[trial.trainable_name].run_model
    return model(**trial.config["shared"], **trial.config["run"])


def _trial_name(trial: Any) -> str:
    return _trial_run(trial).label


def _trial_folder(trial: Any) -> str:
    run = _trial_run(trial)
    return f"{run.label} {run.run_id}".replace(" ", "_")
