"""Trials on a tiny study, driven step by step without a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raylot.config import StreamRun, Study
from raylot.trials.base import RunTrainable
from raylot.trials.stream import StreamTrial
from raylot.trials.ticket_stream import TicketStreamTrial
from raylot.trials.tickets import TicketsTrial

TINY = {
    "hidden": "6", "tasks": 4, "snapshots": "0,2,3", "epochs": 1, "batch_size": 256,
    "lr": 0.01, "tickets": 2, "rounds": 2, "probe_size": 20, "ntk_examples": 0,
    "sharpness_iterations": 0, "ticket_tasks": 3,
}  # fmt: skip

_SEARCHED = ("seed", "shift", "intervention", "task", "sparsity", "subnetwork", "ticket")


def trial_config(root: Path | str, save_interval: float = 0.0, **options: Any) -> dict[str, Any]:
    """The configuration of a stream's trial, given a task a search's, given a subnetwork its."""
    searched = {name: options.pop(name) for name in _SEARCHED if name in options}
    study = Study.checked(**{**TINY, **options})
    if "task" in searched:
        searched.setdefault("sparsity", 0.5)
    if "subnetwork" in searched:
        run = study.ticket_stream_run(**searched)
    elif "task" in searched:
        run = study.tickets_run(**searched)
    else:
        run = study.stream_run(**searched)
    return run_config(run, root, save_interval)


def run_config(run: StreamRun, root: Path | str, save_interval: float = 0.0) -> dict[str, Any]:
    """The configuration of a run's trial."""
    shared = run.model_dump(mode="json")
    return {"storage": str(root), "save_interval": save_interval, "shared": shared, "run": {}}


def finish(trial: RunTrainable) -> list[dict[str, Any]]:
    """All steps to the end; returns what each reported."""
    reports = [trial.step()]
    while not reports[-1]["done"]:
        reports.append(trial.step())
    return reports


def chain(*subnetworks: str) -> list[tuple[type[RunTrainable], dict[str, Any]]]:
    """A stream, the tickets of one of its snapshots, and ticket streams from there."""
    return [
        (StreamTrial, {}),
        (TicketsTrial, {"task": 2}),
        *((TicketStreamTrial, {"task": 2, "subnetwork": name}) for name in subnetworks),
    ]


def run_all(
    root: Path | str, *subnetworks: str, interrupt: bool = False, save_interval: float = 0.0,
    **options: Any,
) -> None:  # fmt: skip
    """Runs a `chain`; interrupted, each step is done by a trial of its own."""
    for kind, extra in chain(*subnetworks):
        settings = trial_config(root, save_interval, **options, **extra)
        if not interrupt:
            finish(kind(settings))
            continue
        while not kind(settings).step()["done"]:
            pass
