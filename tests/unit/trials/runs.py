"""Trials on a tiny study, driven step by step without a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raylot.config import StreamRun, Study, TicketsRun
from raylot.config.measurement_run import MeasuringRun
from raylot.plasticity import GROUPS
from raylot.trials.base import RunTrial
from raylot.trials.measurement import MeasurementTrial, TicketMeasurementTrial
from raylot.trials.probes import ProbeTrial
from raylot.trials.retrainings import RetrainingTrial
from raylot.trials.stream import StreamTrial
from raylot.trials.ticket_barriers import TicketBarrierTrial
from raylot.trials.ticket_stream import TicketStreamTrial
from raylot.trials.tickets import TicketsTrial

TINY = {
    "hidden": "6", "tasks": 4, "snapshots": "0,2,3", "epochs": 1, "batch_size": 256,
    "lr": 0.01, "tickets": 2, "rounds": 2, "probe_size": 20, "ntk_examples": 0,
    "sharpness_iterations": 0, "probe_tasks": 1, "ticket_tasks": 3,
}  # fmt: skip

#: What measures pairs of trainings -> its options.
PAIRS: dict[str, dict[str, Any]] = {
    "retrainings": {"retraining_pairs": 1, "barrier_points": 3},
    "ticket_barriers": {"ticket_pairs": 1, "barrier_points": 3},
}

_SEARCHED = (
    "seed", "shift", "intervention", "measured", "task", "sparsity", "subnetwork", "ticket",
)  # fmt: skip


def trial_config(root: Path | str, save_interval: float = 0.0, **options: Any) -> dict[str, Any]:
    """The configuration of a stream's trial.

    Given a task, it is a search's; given a subnetwork too, a ticket stream's; given what is
    measured, that measurement's of the stream or ticket stream, or that of probe tasks, retrainings
    or ticket barriers.
    """
    searched = {name: options.pop(name) for name in _SEARCHED if name in options}
    measured = searched.pop("measured", None)
    study = Study.checked(**{**TINY, **PAIRS.get(str(measured), {}), **options})
    if "task" in searched:
        searched.setdefault("sparsity", 0.5)
    run: StreamRun
    measuring: Sequence[MeasuringRun] = ()
    if "subnetwork" in searched:
        run = study.ticket_stream_run(**searched)
        measuring = study.ticket_measurement_runs(run)
    elif "task" in searched:
        run = study.tickets_run(**searched)
    else:
        run = study.stream_run(**searched)
        measuring = study.measurement_runs(run)
    if measured == "probes":
        (run,) = study.probe_runs(run)
    elif measured == "retrainings":
        (run,) = study.retraining_runs(run)
    elif measured == "ticket_barriers":
        assert isinstance(run, TicketsRun)
        (run,) = study.ticket_barrier_runs(run)
    elif measured:
        (run,) = (each for each in measuring if each.measured == measured)
    return run_config(run, root, save_interval)


def run_config(run: StreamRun, root: Path | str, save_interval: float = 0.0) -> dict[str, Any]:
    """The configuration of a run's trial."""
    shared = run.model_dump(mode="json")
    return {"storage": str(root), "save_interval": save_interval, "shared": shared, "run": {}}


def finish(trial: RunTrial) -> list[dict[str, Any]]:
    """All steps to the end; returns what each reported."""
    reports = [trial.step()]
    while not reports[-1]["done"]:
        reports.append(trial.step())
    return reports


def chain(*subnetworks: str, pairs: bool = False) -> list[tuple[type[RunTrial], dict[str, Any]]]:
    """A stream, the tickets of one of its snapshots, and ticket streams, with measurements.

    With ``pairs``, also the runs that train pairs of copies and of tickets.
    """
    of_pairs: list[tuple[type[RunTrial], dict[str, Any]]] = [
        (RetrainingTrial, {"measured": "retrainings"}),
        (TicketBarrierTrial, {"task": 2, "measured": "ticket_barriers"}),
    ]
    return [
        (StreamTrial, {}),
        (ProbeTrial, {"measured": "probes"}),
        *((MeasurementTrial, {"measured": measured}) for measured in GROUPS),
        (TicketsTrial, {"task": 2}),
        *(of_pairs if pairs else ()),
        *((TicketStreamTrial, {"task": 2, "subnetwork": name}) for name in subnetworks),
        *(
            (TicketMeasurementTrial, {"task": 2, "subnetwork": name, "measured": measured})
            for name in subnetworks
            for measured in GROUPS
        ),
    ]


def run_all(
    root: Path | str, *subnetworks: str, interrupt: bool = False, save_interval: float = 0.0,
    pairs: bool = False, **options: Any,
) -> None:  # fmt: skip
    """Runs a `chain`; interrupted, each step is done by a trial of its own."""
    for kind, extra in chain(*subnetworks, pairs=pairs):
        settings = trial_config(root, save_interval, **options, **extra)
        if not interrupt:
            finish(kind(settings))
            continue
        while not kind(settings).step()["done"]:
            pass
