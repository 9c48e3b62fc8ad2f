"""Small storages, written the way a sweep writes them, with numbers that a test chooses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raylot import results
from raylot.analysis.figures.material import Material, Tables
from raylot.analysis.tables.observations import observe, settings
from raylot.config import Study
from raylot.storage import Storage

#: What a snapshot's measures are: (shift, seed, task, sparsity) -> columns of ``snapshots``.
Values = Callable[[str, int, int, float], Mapping[str, float]]

#: What the plasticity table holds: (shift, seed, task) -> metric -> value.
Metrics = Callable[[str, int, int], Mapping[str, float]]


def _write_study(
    root: Path,
    values: Values,
    *,
    shifts: Iterable[str] = ("permuted_pixels",),
    seeds: Iterable[int] = range(5),
    tasks: Iterable[int] = (0, 10, 20, 30),
    sparsities: Iterable[float] = (0.8,),
    metrics: Metrics | None = None,
    intervention: str = "none",
    finished: bool = True,
    **options: Any,
) -> Path:
    """Writes the tables of a whole study; ``options`` are the study's own."""
    storage = Storage(root)
    tasks = list(tasks)
    length = max(tasks) + 1
    given = {"rounds": 3, **options}
    study = Study.checked(tasks=length, snapshots=",".join(map(str, tasks)), **given)
    for shift in shifts:
        for seed in seeds:
            stream = study.stream_run(shift=shift, seed=seed, intervention=intervention)
            if finished:
                _write_run(storage, stream, stream.run_id)
            identity = results.identity_columns(stream)
            curve = {t: values(shift, seed, t, 0.8).get("test_accuracy", np.nan) for t in tasks}
            results.write(
                storage,
                "tasks",
                stream.run_id,
                [
                    {
                        **identity,
                        "task": task,
                        "subnetwork": "dense",
                        "test_accuracy": _between(curve, task, seed),
                    }
                    for task in range(length)
                ],
            )
            if metrics is not None:
                rows = [
                    {**identity, "task": t, "layer": layer, "metric": name, "value": value + shown}
                    for t in tasks
                    for name, value in metrics(shift, seed, t).items()
                    for layer, shown in (("all", 0.0), ("0", 99.0))
                ]
                results.write(storage, "plasticity", stream.run_id, rows)
            for task in tasks:
                for sparsity in sparsities:
                    run = study.tickets_run(
                        shift=shift, seed=seed, task=task, sparsity=sparsity,
                        intervention=intervention,
                    )  # fmt: skip
                    row = {
                        **results.identity_columns(run),
                        "stream_run_id": stream.run_id,
                        "protocol": run.protocol,
                        "task": task,
                        "sparsity": sparsity,
                        "rounds": run.rounds,
                        "density": 1 - sparsity,
                        "tickets": run.tickets,
                        "overlap_chance": (1 - sparsity) / (1 + sparsity),
                        **values(shift, seed, task, sparsity),
                    }
                    results.write(storage, "snapshots", run.run_id, [row])
                    if finished:
                        _write_run(storage, run, stream.run_id)
    return root


def _between(curve: Mapping[int, float], task: int, seed: int) -> float:
    """A task's accuracy: the snapshot's own at a snapshot, something near it in between."""
    noise = 0.0 if task in curve else 0.01 * np.random.default_rng([seed, task]).normal()
    return float(np.interp(task, list(curve), list(curve.values()))) + noise


def _write_run(storage: Storage, run: Any, stream_run_id: str) -> None:
    row = {
        **results.identity_columns(run),
        "kind": run.kind,
        "status": "finished",
        "stream_run_id": stream_run_id,
        "protocol": run.protocol,
        **results.option_values(run),
    }
    results.write(storage, "runs", run.run_id, [row])


def _falling(shift: str, seed: int, task: int, sparsity: float) -> dict[str, float]:
    """Under a shift, accuracy and ticket count fall along the stream, and share their noise."""
    draw = np.random.default_rng([seed, task, sum(map(ord, shift))])
    shared, own, other = draw.normal(size=3)
    trend = 0.0 if shift == "stationary" else task / 30
    accuracy = 0.95 - 0.06 * trend + 0.006 * shared + 0.003 * own
    count = 1 + (2.6 - 4 * (sparsity - 0.8)) * (1 - 0.6 * trend) + 0.15 * shared + 0.1 * other
    return {
        "ticket_count": count,
        "winning_ticket_count": max(0.0, count - 1),
        "overlap_mean": min(0.98, 0.9 - 0.2 * count + 0.1 * (sparsity < 0.85)),
        "test_accuracy": accuracy,
        "online_accuracy": accuracy - 0.05,
        "learning_speed": accuracy - 0.1,
        "trainability_gap": 0.96 - accuracy,
    }


def _falling_metrics(shift: str, seed: int, task: int) -> dict[str, float]:
    draw = np.random.default_rng([7, seed, task, len(shift)])
    trend = 0.0 if shift == "stationary" else task / 30
    return {
        "dead_fraction": 0.05 + 0.1 * trend + 0.01 * draw.normal(),
        "effective_rank": 40 - 10 * trend + draw.normal(),
        "gradient_norm": 1 + 0.1 * draw.normal(),
    }


@pytest.fixture(scope="session")
def write_study() -> Callable[..., Path]:
    """Writes the tables of a study: see `_write_study`."""
    return _write_study


@pytest.fixture(scope="session")
def falling() -> Values:
    """Snapshots of a stream along which accuracy and ticket count fall: see `_falling`."""
    return _falling


@pytest.fixture(scope="session")
def falling_metrics() -> Metrics:
    """Structural metrics of the same stream."""
    return _falling_metrics


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 shifts x 2 sparsities, 5 seeds, 4 snapshots: the shape of a default sweep.

    Written once; tests leave its tables alone.
    """
    return _write_study(
        tmp_path_factory.mktemp("study"),
        _falling,
        shifts=("permuted_pixels", "stationary"),
        sparsities=(0.8, 0.9),
        metrics=_falling_metrics,
    )


@pytest.fixture
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files need not survive a loss of power: for tests that write many."""
    monkeypatch.setattr("os.fsync", lambda file: None)


@pytest.fixture(scope="session")
def materials() -> Callable[[Path], list[Any]]:
    """What figures are drawn from: one per setting of the storage in a folder."""

    def read(root: Path) -> list[Any]:
        storage = Storage(root)
        observations, tables = observe(storage), Tables.read(storage)
        return [Material(setting, tables, observations) for setting in settings(observations)]

    return read


@pytest.fixture(scope="session")
def write_rows() -> Callable[..., None]:
    """Adds rows to one run's table of a storage: what the runs of a study do not write."""

    def write(root: Path, table: str, run: Any, rows: Iterable[Mapping[str, Any]]) -> None:
        identity = {**results.identity_columns(run), "stream_run_id": run.stream.run_id}
        results.write(Storage(root), table, run.run_id, [{**identity, **row} for row in rows])

    return write


@pytest.fixture(scope="session")
def finish() -> Callable[[Path, Any], None]:
    """Marks a run as finished."""
    return lambda root, run: _write_run(Storage(root), run, run.stream.run_id)
