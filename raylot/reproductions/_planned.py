"""The rows that a study will have once it has run: readings are tried on them before it runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from raylot import results
from raylot.config import ProbeRun, StreamRun, TicketsRun
from raylot.foundation.names import DENSE, REINIT, SUPERMASK, TICKET
from raylot.reproductions._experiment import Experiment, Published, Read

#: Columns of measures that readings look at.
_MEASURES = ("train_loss", "online_accuracy", "test_loss", "test_accuracy")


def out_of_reach(experiment: Experiment, runs: Iterable[StreamRun]) -> list[Published]:
    """Returns the published numbers for which a study's runs will have no rows.

    Args:
        experiment: what is published.
        runs: all runs of the study.
    """
    read = planned(runs)
    return [one for one in experiment.published if one.ours(read).empty]


def planned(runs: Iterable[StreamRun]) -> Read:
    """Returns the rows that runs will have, as far as readings look at them.

    Every measure is the number of its row, from 1, so that no difference is 0.
    """
    found: dict[str, list[dict[str, Any]]] = {"runs": [], "tasks": [], "probes": [], "tickets": []}
    for run in runs:
        found["runs"].append({**results.option_values(run), "run_id": run.run_id})
        identity = results.identity_columns(run)
        for table, row in _rows(run):
            numbers = dict.fromkeys(_MEASURES, float(len(found[table]) + 1))
            found[table].append({**identity, **row, **numbers})
    frames = {table: pd.DataFrame(rows) for table, rows in found.items()}
    return lambda table: frames[table].reindex(columns=[*results.SCHEMAS[table]])


def _rows(run: StreamRun) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields a run's rows, each with its table."""
    if isinstance(run, ProbeRun):
        for probe in range(run.probe_tasks):
            yield "probes", {"trained": "fresh", "task": None, "probe_task": probe}
            for task in run.snapshots:
                yield "probes", {"trained": "snapshot", "task": task, "probe_task": probe}
    elif isinstance(run, TicketsRun):
        place = {"sparsity": run.sparsity}
        yield "tickets", {**place, "control": DENSE, "round": 0}
        for pruned in run.trained_rounds[1:]:
            yield "tickets", {**place, "control": TICKET, "round": pruned}
        for control, count in ((REINIT, run.reinit_tickets), (SUPERMASK, run.supermasks)):
            if count:
                yield "tickets", {**place, "control": control, "round": run.round_count}
    elif run.kind == StreamRun.kind:
        for task in range(run.tasks):
            yield "tasks", {"task": task}
