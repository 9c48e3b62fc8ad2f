"""Every private part of Ray Tune in use: names, variables, attributes.

``pyproject.toml`` bounds Ray's version because of this file too; see `raylot.trials.ray_internals`.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray.air._internal import usage
from ray.tune.execution import class_cache
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from raylot.trials.ray_internals import environment


def keep_credentials_here() -> None:
    """Stops Tune from copying this process's AWS credentials into its workers' environment.

    Ray writes that environment into a log that all users of the machine can read. Workers get
    credentials from the environment of their node.
    """
    names = class_cache.ENV_VARS_TO_PROPAGATE
    names.difference_update([name for name in names if name.startswith("AWS_")])


class NotPickled:
    """A callback that Tune pickles as nothing, into a file that raylot never reads."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class KeepsActors(FIFOScheduler):
    """Runs trials, and lets Tune keep all actors until the experiment ends, and no ended trials.

    Tune keeps as many idle actors as there are trials waiting for one, and one more: at the end of
    a stage it would stop the others, and start as many anew, seconds each, for the next stage.

    Tune itself keeps ended trials, writes all of them into the experiment's state again and again,
    and looks through them at each step; raylot asks for none of them.
    """

    _has_room = False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        if not self._has_room:  # all trials ask for the same resources
            tune_controller._actor_cache.increase_max(trial.placement_group_factory, by=sys.maxsize)
            self._has_room = True
        _forget_ended(tune_controller)
        super().on_trial_add(tune_controller, trial)


def _forget_ended(tune_controller: Any) -> None:
    ended = {trial for trial in tune_controller._trials if trial.is_finished()}
    if not ended:
        return
    tune_controller._trials[:] = [t for t in tune_controller._trials if t not in ended]
    for trials in ("_trials_to_cache", "_stopped_trials", "_failed_trials"):
        getattr(tune_controller, trials).difference_update(ended)
    for trial in ended:
        tune_controller._trial_metadata.pop(trial.trial_id, None)


@contextlib.contextmanager
def any_worker_serves() -> Iterator[None]:
    """Lets Tune use the workers that Ray has started already, see `workers_import`.

    It asks for workers with a variable of PyTorch Lightning's in their environment, for which Ray
    starts others.
    """
    before = dict(class_cache.DEFAULT_ENV_VARS)
    class_cache.DEFAULT_ENV_VARS.clear()
    try:
        yield
    finally:
        class_cache.DEFAULT_ENV_VARS.update(before)


@contextlib.contextmanager
def many_pending_trials() -> Iterator[None]:
    """Lets a searcher of Tune have as many trials waiting as Tune's own grid search has.

    With one at a time, as is usual for searchers, workers would start one after another.
    """
    variable = "TUNE_MAX_PENDING_TRIALS_PG"
    cpus = ray.cluster_resources().get("CPU", 1.0)  # type: ignore[no-untyped-call]
    number = max(200, int(1.1 * cpus))
    with environment(variable, os.environ.get(variable, str(number))):
        yield


@contextlib.contextmanager
def callbacks_left_uncounted() -> Iterator[None]:
    """Stops Tune from importing MLflow and Weights & Biases, if they are installed.

    It does so, for a second or two, to report which of their callbacks are in use.
    """
    counts, usage.tag_callbacks = usage.tag_callbacks, lambda callbacks: False
    try:
        yield
    finally:
        usage.tag_callbacks = counts


@contextlib.contextmanager
def failed_resets_count_as_losses() -> Iterator[None]:
    """Lets a trial wait for another worker if the kept one that Tune gives it fails at once.

    Tune would give the trial up, whatever ``max_failures`` says: for it, a trial that fails while
    it waits for its worker's reset cannot be tried again. A worker that has died is reported twice,
    first as dead, then as one whose reset has failed; Tune lets the trial wait after the first.
    """
    tune_controller: Any = TuneController
    fails = tune_controller._process_trial_failure

    def fails_or_waits(controller: Any, trial: Any, exception: Any) -> None:
        if trial.status == Trial.PENDING and trial in controller._resetting_trials:
            # Tune gives no worker to a trial whose reset has not ended.
            controller._resetting_trials.remove(trial)
            if trial not in controller._trial_to_actor:
                return  # the second report
            # As Tune itself does before it reports a worker that could not be started.
            controller._set_trial_status(trial, Trial.RUNNING)
            controller._unstage_trial_with_resources(trial)
        fails(controller, trial, exception)

    tune_controller._process_trial_failure = fails_or_waits
    try:
        yield
    finally:
        tune_controller._process_trial_failure = fails


# -------------------------------------------------- what callbacks are told of a trial


def trial_kind(trial: Any) -> str:
    """Returns the kind of a trial's run."""
    return str(trial.config["kind"])


def bundled_runs(trial: Any) -> list[str]:
    """Returns the run_ids of a trial's bundle; none if it computes one run alone."""
    return list(trial.config.get("run_ids", ()))


def first_label(trial: Any) -> str:
    """Returns the label of the first run of a trial's bundle."""
    return str(trial.config["label"])


def trial_options(trial: Any) -> dict[str, Any]:
    """Returns the options of a trial's run, those searched over and the others."""
    return {**trial.config["shared"], **trial.config["run"]}


def searched_options(trial: Any) -> dict[str, Any]:
    """Returns the options of a trial's run that are searched over."""
    return dict(trial.config["run"])


def optuna_study(search: Any) -> Any:
    """Returns the study of Optuna behind a search of Tune."""
    return search._ot_study


def trial_error(trial: Any) -> str:
    """Returns why a trial failed, as text: Ray's own exceptions cannot always be unpickled."""
    return str(trial.get_error() or "no reason is known")


def trial_folder(trial: Any) -> Path:
    """Returns the folder of a trial's logs on this machine."""
    return Path(trial.local_path)
