"""Logs what trials report, through Ray's own callbacks: to files, MLflow or Weights & Biases."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path, PurePosixPath
from typing import Any

from ray import tune
from ray.tune.logger import CSVLoggerCallback, JsonLoggerCallback

from raylot.config import SweepOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.text import one_line
from raylot.storage import Storage
from raylot.terminal.progress import Progress
from raylot.trials import ray_internals, tune_internals


def check_logger(options: SweepOptions, storage: Storage) -> None:
    """Checks that the logger asked for can be used, as far as that is known beforehand.

    Raises:
        OptionError: the logger is not installed, or does not know where to log.
    """
    name = options.logger
    if name != "none" and importlib.util.find_spec(name) is None:
        raise OptionError(f"logger={name}: must be installed; pip install -e '.[{name}]' does it")
    if name == "mlflow" and not (storage.is_local or "MLFLOW_TRACKING_URI" in os.environ):
        raise OptionError(
            f"logger=mlflow: must be told where to log, as storage={storage.root} is no folder; "
            "set MLFLOW_TRACKING_URI"
        )
    if name == "mlflow" and options.share and "MLFLOW_TRACKING_URI" not in os.environ:
        raise OptionError(
            f"logger=mlflow: must be told where to log with share={options.share}, as one file "
            "cannot be written by several machines; set MLFLOW_TRACKING_URI"
        )
    if name == "wandb" and not _may_log_to_wandb():
        raise OptionError(
            "logger=wandb: must be logged in; run wandb login, set WANDB_API_KEY, or set "
            "WANDB_MODE=offline"
        )


def loggers(options: SweepOptions, storage: Storage, progress: Progress) -> list[tune.Callback]:
    """Returns the callbacks with which a Tune experiment logs, beside TensorBoard's."""
    study = PurePosixPath(storage.root).name
    if options.logger == "mlflow":
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        place = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{storage.path('mlflow.db')}"
        mlflow = MLflowLoggerCallback(tracking_uri=place, experiment_name=study)
        return [_Elsewhere("MLflow", mlflow, progress)]
    if options.logger == "wandb":
        from ray.air.integrations.wandb import WandbLoggerCallback

        # The processes that log, on this machine, may lack this one's environment; and Tune copies
        # a trial's folder before they have written everything.
        folder = storage.root if storage.is_local else str(Path.cwd())
        wandb = WandbLoggerCallback(
            os.environ.get("WANDB_PROJECT", "raylot"),
            group=study,
            mode=os.environ.get("WANDB_MODE"),
            dir=os.environ.get("WANDB_DIR", folder),
        )
        return [_Elsewhere("Weights & Biases", wandb, progress)]
    return []


class RunsAsJson(tune_internals.NotPickled, JsonLoggerCallback):
    """Writes a trial's reports to ``result.json``; of a bundle of runs, a short line for each.

    Options of the runs of a bundle are in the table ``runs`` alone.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def update_config(self, trial: Any, config: dict[str, Any]) -> None:
        if not tune_internals.bundled_runs(trial):
            super().update_config(trial, config)

    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
        place = {name: result.get(name) for name in ("date", "hostname", "pid")}
        told = [{**report, **place} for report in result.get("reports", ())]
        for each in told if tune_internals.bundled_runs(trial) else [result]:
            super().log_trial_result(iteration, trial, each)


class RunsAsCsv(tune_internals.NotPickled, CSVLoggerCallback):
    """Writes a trial's reports to ``progress.csv``; nothing for a bundle of runs."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def log_trial_start(self, trial: Any) -> None:
        if not tune_internals.bundled_runs(trial):
            super().log_trial_start(trial)

    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
        if not tune_internals.bundled_runs(trial):
            super().log_trial_result(iteration, trial, result)


def _may_log_to_wandb() -> bool:
    if "WANDB_API_KEY" in os.environ or os.environ.get("WANDB_MODE") in ("offline", "disabled"):
        return True
    import wandb

    return bool(wandb.login(prompt=False, verify=False))


class _Elsewhere(tune_internals.NotPickled, tune.Callback):
    """Passes measures on to a logger, and stops once the logger fails."""

    def __init__(self, name: str, logger: tune.Callback, progress: Progress) -> None:
        self._name, self._progress = name, progress
        self._logger: tune.Callback | None = logger

    def setup(self, *args: Any, **info: Any) -> None:
        self._tell("setup", *args, **info)

    def on_trial_start(self, *args: Any, **info: Any) -> None:
        # The process that logs runs on this machine and has its environment.
        with ray_internals.environment("WANDB_API_KEY", None):
            self._tell("on_trial_start", *args, **info)

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        measures = {f"{result['kind']}/{name}": v for name, v in result["measures"].items()}
        place = {name: result[name] for name in ("timesteps_total", "training_iteration")}
        told = {**place, **measures}
        self._tell("on_trial_result", iteration, trials, trial, result=told, **info)

    def on_trial_complete(self, *args: Any, **info: Any) -> None:
        self._tell("on_trial_complete", *args, **info)

    def on_trial_error(self, *args: Any, **info: Any) -> None:
        self._tell("on_trial_error", *args, **info)

    def on_experiment_end(self, *args: Any, **info: Any) -> None:
        self._tell("on_experiment_end", *args, **info)

    def _tell(self, what: str, *args: Any, **info: Any) -> None:
        if self._logger is None:
            return
        try:
            getattr(self._logger, what)(*args, **info)
        except Exception as error:  # no error of a logger may end a sweep
            self._logger = None
            reason = one_line(error, 200)
            self._progress.note(f"{self._name}: nothing more is logged there ({reason})")
