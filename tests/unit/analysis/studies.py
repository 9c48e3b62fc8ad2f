"""Small storages, written the way a sweep writes them, with numbers that a test chooses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from raylot import results
from raylot.analysis.figures.material import Material, Tables
from raylot.analysis.tables.observations import observe, settings
from raylot.config import Study
from raylot.storage import Storage

#: What a snapshot's measures are: (shift, seed, task, sparsity) -> columns of ``snapshots``.
Values = Callable[[str, int, int, float], Mapping[str, float]]

#: What the plasticity table holds: (shift, seed, task) -> metric -> value.
Metrics = Callable[[str, int, int], Mapping[str, float]]


_GAP, _ADVANTAGE = "probe_online_gap", "advantage_over_random"


def write_study(
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
    """Writes the tables of a whole study; ``options`` are the study's own.

    Values are those of ``snapshots``; a probe gap among them, below a fresh network's accuracy of
    0.8, goes to ``probes``, and an advantage over random masks becomes the accuracies of both.
    """
    tasks = list(tasks)
    length = max(tasks) + 1
    given = {"rounds": 3, **options}
    study = Study.checked(tasks=length, snapshots=",".join(map(str, tasks)), **given)
    for shift, seed in ((shift, seed) for shift in shifts for seed in seeds):
        place: dict[str, Any] = {"shift": shift, "seed": seed, "intervention": intervention}
        stream = study.stream_run(**place)
        if finished:
            finish(root, stream)
        curve = {t: values(shift, seed, t, 0.8).get("test_accuracy", np.nan) for t in tasks}
        learned = [
            {"task": t, "subnetwork": "dense", "test_accuracy": _between(curve, t, seed)}
            for t in range(length)
        ]
        write_rows(root, "tasks", stream, learned)
        rows = [
            {"task": t, "layer": layer, "metric": name, "value": value + shown}
            for t in tasks
            for name, value in (metrics(shift, seed, t) if metrics else {}).items()
            for layer, shown in (("all", 0.0), ("0", 99.0))
        ]
        if rows:
            write_rows(root, "plasticity", stream, rows)
        if gaps := {t: own[_GAP] for t in tasks
                    if _GAP in (own := values(shift, seed, t, 0.8))}:  # fmt: skip
            [run] = study.probe_runs(stream)
            write_rows(root, "probes", run, _probes(gaps, run.probe_shift))
            if finished:
                finish(root, run)
        for task, sparsity in ((task, sparsity) for task in tasks for sparsity in sparsities):
            run = study.tickets_run(**place, task=task, sparsity=sparsity)
            row = {
                "task": task, "sparsity": sparsity, "protocol": run.protocol, "rounds": run.rounds,
                "tickets": run.tickets, "density": 1 - sparsity,
                "overlap_chance": (1 - sparsity) / (1 + sparsity),
                **values(shift, seed, task, sparsity),
            }  # fmt: skip
            row.pop(_GAP, None)
            if (advantage := row.pop(_ADVANTAGE, None)) is not None:
                row |= {"ticket_accuracy": 0.5 + advantage, "random_accuracy": 0.5}
            write_rows(root, "snapshots", run, [row])
            if finished:
                finish(root, run)
    return root


def _probes(gaps: Mapping[int, float], shift: str) -> list[dict[str, Any]]:
    """The rows of one probe task: of a fresh network, and of the snapshot at each task."""
    common = {"probe_shift": shift, "probe_task": 0}
    return [{**common, "trained": "fresh", "online_accuracy": 0.8}] + [
        {**common, "trained": "snapshot", "task": task, "online_accuracy": 0.8 - gap}
        for task, gap in gaps.items()
    ]


def _between(curve: Mapping[int, float], task: int, seed: int) -> float:
    """A task's accuracy: the snapshot's own at a snapshot, something near it in between."""
    noise = 0.0 if task in curve else 0.01 * np.random.default_rng([seed, task]).normal()
    return float(np.interp(task, list(curve), list(curve.values()))) + noise


def write_rows(root: Path, table: str, run: Any, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes the rows of one run's table, with the columns that identify the run."""
    identity = {**results.identity_columns(run), "stream_run_id": run.stream.run_id}
    results.write(Storage(root), table, run.run_id, [{**identity, **row} for row in rows])


def finish(root: Path, run: Any, status: str = "finished") -> None:
    """Marks a run as finished, or as what else has become of it."""
    row = {"kind": run.kind, "status": status, "protocol": run.protocol}
    write_rows(root, "runs", run, [{**results.option_values(run), **row}])


def write_ticket_stream(
    root: Path, study: Study, accuracies: Iterable[float], **which: Any
) -> None:
    """Writes a finished ticket stream with its accuracies on the tasks after the snapshot.

    ``which`` names the run; learning speeds are half the accuracies.
    """
    run = study.ticket_stream_run(**{"shift": "permuted_pixels", "sparsity": 0.8, **which})
    is_dense = run.subnetwork == "dense"
    learner = {
        "subnetwork": run.subnetwork, "snapshot": run.task,
        "sparsity": None if is_dense else run.sparsity, "ticket": None if is_dense else run.ticket,
    }  # fmt: skip
    rows = [
        {**learner, "task": task, "test_accuracy": accuracy, "learning_speed": accuracy / 2}
        for task, accuracy in enumerate(accuracies, run.task + 1)
    ]
    write_rows(root, "tasks", run, rows)
    finish(root, run)


def falling(shift: str, seed: int, task: int, sparsity: float) -> dict[str, float]:
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
        "probe_online_gap": 0.96 - accuracy,
        "advantage_over_random": 0.05 * count,
    }


def falling_metrics(shift: str, seed: int, task: int) -> dict[str, float]:
    """Structural metrics of the same stream."""
    draw = np.random.default_rng([7, seed, task, len(shift)])
    trend = 0.0 if shift == "stationary" else task / 30
    return {
        "dead_fraction": 0.05 + 0.1 * trend + 0.01 * draw.normal(),
        "effective_rank": 40 - 10 * trend + draw.normal(),
        "gradient_norm": 1 + 0.1 * draw.normal(),
    }


def read_analysis(root: Path, name: str) -> pd.DataFrame:
    """Reads the table that an analysis has written twice."""
    text = pd.read_csv(root / f"analysis/{name}.csv")
    table = pd.read_parquet(root / f"analysis/{name}.parquet")
    assert list(text) == list(table)
    assert len(text) == len(table)
    for column, numbers in table.select_dtypes("number").items():
        given = numbers.to_numpy(dtype=float, na_value=np.nan)
        assert np.allclose(text[column], given, equal_nan=True), column
    return table


def materials(root: Path) -> list[Material]:
    """Reads the data that figures draw: one `Material` per setting of the storage in a folder."""
    storage = Storage(root)
    observations, tables = observe(storage), Tables.read(storage)
    return [Material(setting, tables, observations) for setting in settings(observations)]
