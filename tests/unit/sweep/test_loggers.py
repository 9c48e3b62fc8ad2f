"""MLflow on a real local store and Weights & Biases offline; and that neither can end a sweep."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
import ray
import wandb
from rich.console import Console

from raylot import results
from raylot.config import Study
from raylot.foundation.errors import OptionError
from raylot.storage import Storage
from raylot.sweep.loggers import _Elsewhere, check_logger
from raylot.sweep.sweep import Sweep
from raylot.terminal.progress import Progress
from tests.faults.processes import comes_true

_TINY = {
    "hidden": "6", "tasks": 3, "snapshots": "2", "epochs": 1, "batch_size": 256, "tickets": 2,
    "rounds": 1, "probe_size": 20, "ntk_examples": 0, "sharpness_iterations": 0,
    "max_concurrent": 1, "probe_tasks": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def logged_with(cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Computes a stream, its measurements and tickets; returns the folder and accuracies."""

    def run(logger: str) -> tuple[Path, list[float]]:
        root = tmp_path / "study"
        study = Study.checked(**_TINY, logger=logger)
        sweep = Sweep(study, Storage(root), {"seed": 3}, {"task": 2, "sparsity": 0.5})
        sweep.check()
        assert sweep.run().finished == 1 + 4 + 1
        tasks = results.read(root, "tasks").sort_values("task")
        return root, tasks["test_accuracy"].tolist()

    for name in ("MLFLOW_TRACKING_URI", "WANDB_API_KEY", "WANDB_PROJECT", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    return run


def test_mlflow_has_options_curves_and_measures_of_every_run(logged_with: Any) -> None:
    root, accuracies = logged_with("mlflow")
    client = mlflow.MlflowClient(f"sqlite:///{root}/mlflow.db")
    experiment = client.get_experiment_by_name("study")
    assert experiment is not None
    _, structure, _, probes, stream, search = sorted(
        client.search_runs([experiment.experiment_id]), key=lambda run: run.info.run_name
    )
    assert stream.info.run_name == "stream seed=3 permuted_pixels"
    assert (stream.info.status, stream.data.params["run/seed"]) == ("FINISHED", "3")
    curve = client.get_metric_history(stream.info.run_id, "stream/test_accuracy")
    assert {m.step: m.value for m in curve} == dict(enumerate(accuracies, start=1))
    assert structure.info.run_name == "measurement seed=3 permuted_pixels structure"
    (row,) = results.read(root, "snapshots").to_dict("records")
    assert structure.data.metrics["measurement/effective_rank"] >= 1
    assert probes.info.run_name == "probes seed=3 permuted_pixels on permuted_pixels"
    assert -1 < probes.data.metrics["probes/probe_online_gap"] < 1
    assert search.data.metrics["tickets/ticket_count"] == row["ticket_count"]


@pytest.mark.slow  # faster: the test of mlflow
def test_weights_and_biases_keeps_every_run_for_later(
    logged_with: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    root, accuracies = logged_with("wandb")
    names = (b"stream seed=3 permuted_pixels", b"tickets seed=3 permuted_pixels")

    def written() -> list[bytes]:
        runs = [path.read_bytes() for path in root.glob("wandb/offline-run-*/*.wandb")]
        return [run for name in names for run in runs if name in run]

    # W&B's own process writes a file as it ends, which it may do after the sweep.
    assert comes_true(lambda: len(written()) == 2, 180)
    stream, search = written()
    for accuracy in accuracies:
        assert repr(accuracy).encode() in stream
    assert b"tickets/ticket_count" in search


class _Refusing:
    """A logger that works once, whatever it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def hear(*args: Any, **info: Any) -> None:
            self.told.append(name)
            if len(self.told) > 1:
                raise ConnectionError("nobody\nanswers")

        return hear


def test_a_logger_that_fails_is_left_alone() -> None:
    said = io.StringIO()
    refusing = _Refusing()
    logger: Any = _Elsewhere("MLflow", refusing, Progress(console=Console(file=said)))
    logger.setup()
    logger.on_trial_start(0, [], None)
    logger.on_trial_complete(0, [], None)
    logger.on_experiment_end([])
    assert refusing.told == ["setup", "on_trial_start"]
    assert said.getvalue() == "MLflow: nothing more is logged there (nobody answers)\n"


def test_what_cannot_be_used_is_refused_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, elsewhere = Storage(tmp_path), Storage("s3://bucket/study")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setattr(wandb, "login", lambda **told: False)

    def refused(logger: str, storage: Storage) -> str:
        with pytest.raises(OptionError) as error:
            check_logger(Study.checked(logger=logger), storage)
        return str(error.value)

    check_logger(Study.checked(), elsewhere)
    check_logger(Study.checked(logger="mlflow"), here)
    assert refused("mlflow", elsewhere).endswith("is no folder; set MLFLOW_TRACKING_URI")
    assert refused("wandb", here).startswith("logger=wandb: must be logged in; run wandb login")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    monkeypatch.setenv("WANDB_MODE", "offline")
    check_logger(Study.checked(logger="mlflow"), elsewhere)
    check_logger(Study.checked(logger="wandb"), here)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "logger=mlflow: must be installed; pip install" in refused("mlflow", here)
