"""Finds quantities in a study's rows, as a value per seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from raylot.foundation.names import DENSE, SUPERMASK, TICKET
from raylot.reproductions._experiment import Read, Reading


def minus(first: Reading, second: Reading) -> Reading:
    """The difference of two quantities, for the seeds that have both."""
    return lambda read: (first(read) - second(read)).dropna()


def of_tickets(
    sparsity: float,
    control: str = TICKET,
    measure: str = "test_accuracy",
    round_index: int | None = None,
) -> Reading:
    """The mean over tickets, or over the networks of a control, at one sparsity.

    Args:
        sparsity: of the search.
        control: as in the table ``tickets``.
        measure: a column there.
        round_index: how often their masks were pruned; None: in the last round, or never if they
            are dense.
    """

    def reading(read: Read) -> pd.Series[float]:
        rows = read("tickets")
        own = rows[np.isclose(rows["sparsity"], sparsity) & (rows["control"] == control)]
        if control != DENSE:
            last = own["round"].max() if round_index is None else round_index
            own = own[own["round"] == last]
        return own.groupby("seed")[measure].mean()

    return reading


def best_of_supermasks(**options: object) -> Reading:
    """The mean test accuracy of supermasks, at the sparsity that is best on average over seeds.

    Args:
        options: of the runs, as columns of ``runs``.
    """

    def reading(read: Read) -> pd.Series[float]:
        rows = read("tickets")
        own = rows[rows["run_id"].isin(_ids(read, options)) & (rows["control"] == SUPERMASK)]
        by_sparsity = own.pivot_table("test_accuracy", index="seed", columns="sparsity")
        if by_sparsity.empty:
            return pd.Series(dtype=float)
        return by_sparsity[by_sparsity.mean().idxmax()]

    return reading


def along_stream(measure: str, tasks: range | None = None, **options: object) -> Reading:
    """The mean over tasks of streams with some options.

    Args:
        measure: a column of the table ``tasks``.
        tasks: over which; None: the last tenth of each stream, one at least.
        options: of the runs, as columns of ``runs``.
    """

    def reading(read: Read) -> pd.Series[float]:
        rows = read("tasks")
        own = rows[rows["run_id"].isin(_ids(read, options))]
        if tasks is None:
            length = own.groupby("run_id")["task"].transform("max") + 1
            own = own[own["task"] >= np.floor(0.9 * length)]
        else:
            own = own[own["task"].isin(tasks)]
        return own.groupby("seed")[measure].mean()

    return reading


def best_of(readings: Sequence[Reading], by: Sequence[Reading] | None = None) -> Reading:
    """One of several quantities, as of a method at several strengths.

    Args:
        readings: the quantities.
        by: in the same order, what decides: the first with the highest mean over seeds is chosen;
            None: the quantities themselves.
    """

    def reading(read: Read) -> pd.Series[float]:
        means = [decides(read).mean() for decides in by or readings]
        known = [index for index, mean in enumerate(means) if np.isfinite(mean)]
        return readings[max(known, key=means.__getitem__, default=0)](read)

    return reading


def probe_gap(task: int, measure: str, **columns: object) -> Reading:
    """How much higher a fresh network ends on probe tasks than a snapshot; the mean over them.

    Args:
        task: of the snapshot.
        measure: a column of the table ``probes``.
        columns: values of others there, as of the shift's parameters.
    """

    def reading(read: Read) -> pd.Series[float]:
        rows = read("probes")
        for name, value in columns.items():
            rows = rows[rows[name] == value]
        place = ["seed", "run_id", "probe_task"]
        fresh = rows[rows["trained"] == "fresh"].set_index(place)[measure]
        snapshot = rows[(rows["trained"] == "snapshot") & (rows["task"] == task)]
        gaps = (fresh - snapshot.set_index(place)[measure]).dropna()
        return gaps.groupby(level="seed").mean()

    return reading


def _ids(read: Read, options: Mapping[str, object]) -> pd.Series[str]:
    """The runs with some options."""
    runs = read("runs")
    for name, value in options.items():
        runs = runs[runs[name] == value]
    return runs["run_id"]
