"""Correlates the tickets of snapshots with their plasticity, and says what was found.

Reads the tables of a raylot storage; writes STORAGE/analysis/correlation.csv and .parquet (with
--pairing previous: correlation_pairing_previous) with
every pair of a ticket measure and a plasticity measure, for each protocol, shift and sparsity;
prints one pair and the answer in words. Seeds are the unit of replication, never rows: intervals
resample seeds, and p is of a t test over seeds, corrected for all tests in the file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import command
import files
import numpy as np
import pandas as pd
import pyarrow as pa
from coefficients import STATISTICS, Indices, Series, Statistic, is_constant
from intervals import CENTERS, ENOUGH_SEEDS, Array, percentile_interval, seed_resamples
from measures import TICKET_MEASURES, measure
from observations import SETTING, Observations, Pairing, Setting, groups, observe, settings
from report import print_setting
from significance import LEAST_STREAMS, corrected, p_over_seeds, repeated_measures_p

from raylot.options import OptionError, Options, option
from raylot.storage import Storage

COLUMNS: dict[str, pa.DataType] = {
    "protocol": pa.string(),
    "dataset": pa.string(),
    "network": pa.string(),
    "intervention": pa.string(),
    "shift": pa.string(),  # all: every shift of the setting together
    "sparsity": pa.float64(),
    "rounds": pa.int64(),
    "pairing": pa.string(),  # same, previous: see `observations.Pairing`
    "ticket_measure": pa.string(),
    "plasticity_measure": pa.string(),
    "statistic": pa.string(),
    "estimate": pa.float64(),  # null if it does not exist; the note says why
    "low": pa.float64(),
    "high": pa.float64(),
    "p": pa.float64(),  # two-sided, of a t test over seeds
    "p_corrected": pa.float64(),  # for all tests of the file, Benjamini-Hochberg
    "p_holm": pa.float64(),  # the same, Holm
    "tests": pa.int64(),  # how many p were corrected for
    # repeated_measures only: rm_corr's own test, which takes the snapshots of a stream for
    # independent, and is too sure where a stream drifts; not among the tests corrected for
    "rm_dof": pa.int64(),
    "rm_p": pa.float64(),
    "n": pa.int64(),  # points: snapshots, or differences between them
    "seeds": pa.int64(),
    "note": pa.string(),
}


_OF_THE_FILE = ("pairing", "p_corrected", "p_holm", "tests")
_DTYPES = {pa.int64(): "Int64", pa.float64(): "float64"}


class CorrelationOptions(Options):
    """What is asked of this script."""

    storage: str = option(
        ..., "storage of a sweep", accepts="folder or URI, as given to the sweep"
    )  # fmt: skip
    measure: str = option(
        "test_accuracy",
        "plasticity measure that is printed; the files hold all",
        accepts="test_accuracy, or another of the storage's plasticity measures",
    )
    tickets: Literal[
        "ticket_count",
        "winning_ticket_count",
        "overlap_mean",
        "overlap_corrected",
        "winning_tickets",
        "ticket_accuracy",
        "ticket_advantage",
        "advantage_over_random",
    ] = option("ticket_count", "ticket measure that is printed; the files hold all")
    pairing: Pairing = option(
        "same",
        "task whose performance a snapshot is paired with: the one it is about to train on, or the "
        "one before, as in the original study's plots, which slipped by one task",
    )
    center: Literal["mean", "iqm"] = option(
        "mean", "center over seeds in the trends: mean, or interquartile mean"
    )
    confidence: float = option(0.95, "confidence of the intervals", gt=0, lt=1)
    resamples: int = option(2000, "bootstrap resamples of the seeds", ge=10, le=100_000)
    seed: int = option(0, "seed of the bootstrap's draws", ge=0, le=2**63 - 1)


def correlate(
    setting: pd.DataFrame,
    measures: Iterable[str],
    *,
    tickets: Iterable[str] = tuple(TICKET_MEASURES),
    statistics: Iterable[str] = tuple(STATISTICS),
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """All correlations within one setting.

    Args:
        setting: observations of one setting, as `observations.settings` gives them.
        measures: plasticity measures, columns of it.
        tickets: ticket measures, columns of it.
        statistics: of `coefficients.STATISTICS`.
        resamples: of the seeds.
        confidence: of the intervals.
        seed: of the resampling; equal seeds give equal intervals.

    Returns:
        A row per shift (and ``all``), sparsity, pair of measures and statistic: see `COLUMNS`;
        `completed` adds what depends on all rows of the file.
    """
    measures, tickets, statistics = list(measures), list(tickets), list(statistics)
    grid = np.sort(setting["task"].unique())
    rows: list[dict[str, Any]] = []
    for (shift, sparsity, rounds), part in groups(setting):
        group = {name: part[name].iloc[0] for name in SETTING}
        group |= {"shift": shift, "sparsity": sparsity, "rounds": rounds}
        streams = np.asarray(part.groupby(["shift", "seed"]).ngroup(), dtype=np.intp)
        for ticket_measure in tickets:
            for plasticity_measure in measures:
                pair = {"ticket_measure": ticket_measure, "plasticity_measure": plasticity_measure}
                series, counts, notes = _series(
                    part, streams, grid, ticket_measure, plasticity_measure
                )
                draws = seed_resamples(counts, resamples, seed) if counts > 1 else None
                for statistic in statistics:
                    found = _estimate(series, statistic, draws, counts, confidence)
                    found["note"] = "; ".join(filter(None, [found["note"], *notes]))
                    rows.append({**group, **pair, "statistic": statistic, **found})
    columns = [name for name in COLUMNS if name not in _OF_THE_FILE]
    types = {name: _DTYPES[kind] for name, kind in COLUMNS.items() if kind in _DTYPES}
    return pd.DataFrame(rows, columns=columns).astype({n: types[n] for n in columns if n in types})


def completed(frames: Iterable[pd.DataFrame], pairing: Pairing) -> pd.DataFrame:
    """The file's table: all settings' correlations, with their p-values corrected together.

    Args:
        frames: from `correlate`.
        pairing: of the observations.
    """
    frame = pd.concat(frames, ignore_index=True)
    p = frame["p"].to_numpy(dtype=float)
    frame["p_corrected"] = corrected(p, "fdr_bh")
    frame["p_holm"] = corrected(p, "holm")
    frame["tests"] = int(np.isfinite(p).sum())
    frame["pairing"] = pairing
    return frame[list(COLUMNS)]


def _series(
    part: pd.DataFrame, streams: Indices, grid: Array, ticket_measure: str, plasticity_measure: str
) -> tuple[Series, int, list[str]]:
    """The pairs of one group, how many seeds they come from, and what was left out."""
    x, y, task = (
        part[name].to_numpy(dtype=float) for name in (ticket_measure, plasticity_measure, "task")
    )
    complete = np.isfinite(x) & np.isfinite(y)
    notes = []
    if left_out := int((~complete).sum()):
        notes.append(f"{left_out} of {len(part)} rows have no number and are left out")
    seeds, seed_number = np.unique(part["seed"].to_numpy()[complete], return_inverse=True)
    series = Series(
        x=_without_rounding(x[complete]),
        y=_without_rounding(y[complete]),
        task=task[complete],
        seed=seed_number,
        stream=streams[complete],
        position=np.searchsorted(grid, task[complete]),
    )
    return series, len(seeds), notes


def _without_rounding(values: Array) -> Array:
    """Values that differ in their last digits only (eigenvalues do) become ties."""
    size = np.abs(values).max(initial=0)
    if size == 0:
        return values
    digits = 10 - int(np.floor(np.log10(size)))
    return np.asarray(np.round(values, digits)) if abs(digits) < 300 else values


def _estimate(
    series: Series, name: str, draws: Array | None, seeds: int, confidence: float
) -> dict[str, Any]:
    statistic = STATISTICS[name]
    points = statistic.points(series)
    row: dict[str, Any] = {"note": ""}
    row |= {"n": points.x.size, "seeds": len(np.unique(points.seed))}
    if points.x.size < statistic.least_points:
        noun = statistic.noun.removesuffix("s") if points.x.size == 1 else statistic.noun
        row["note"] = f"{points.x.size} {noun}: {statistic.least_points} are needed"
        return row
    estimate = float(statistic.compute(points, np.ones((1, seeds)))[0])
    if not np.isfinite(estimate):
        row["note"] = _why_undefined(points, name)
        return row
    row["estimate"] = estimate
    found = [_own_test(points)] if name == "repeated_measures" else []
    if draws is None or row["seeds"] < 2:
        found.append({"note": "one seed, so no interval and no p-value"})
    else:
        found.append(_interval(points, statistic, draws, confidence))
        found.append(_test(statistic.scores(points)))
        if row["seeds"] < ENOUGH_SEEDS:
            found.append({"note": f"only {row['seeds']} seeds, too few to rely on interval and p"})
    for part in found:
        row |= {**part, "note": "; ".join(filter(None, [row["note"], part.get("note", "")]))}
    return row


def _interval(
    points: Series, statistic: Statistic, draws: Array, confidence: float
) -> Mapping[str, Any]:
    resampled = statistic.compute(points, draws)
    distinct = (draws > 0) @ np.bincount(points.seed, minlength=draws.shape[1])
    resampled[distinct < statistic.least_points] = np.nan
    interval = percentile_interval(resampled, confidence)
    if interval is None:
        return {"note": "no interval: no resample of the seeds has a correlation"}
    undefined = int(np.isnan(resampled).sum())
    if 2 * undefined > len(draws):
        return {"note": "no interval: most resamples of the seeds have no correlation"}
    left_out = f"{undefined} of {len(draws)} resamples have no correlation and are left out"
    return {"low": interval[0], "high": interval[1], "note": left_out if undefined else ""}


def _test(scores: Series) -> Mapping[str, Any]:
    p = p_over_seeds(scores)
    return {"note": "no p-value: all seeds say exactly the same"} if p is None else {"p": p}


def _own_test(points: Series) -> Mapping[str, Any]:
    own = repeated_measures_p(points)
    if own is None:
        return {"note": f"rm_corr's own p-value takes {LEAST_STREAMS} streams"}
    return {"rm_dof": own[0], "rm_p": own[1]}


_CONSTANT = {
    "first_differences": "changes by the same amount everywhere",
    "repeated_measures": "is the same all along each stream",
}


def _why_undefined(points: Series, statistic: str) -> str:
    what = _CONSTANT.get(statistic, "is the same everywhere")
    if is_constant(points.x):
        return f"the ticket measure {what}"
    if is_constant(points.y):
        return f"the plasticity measure {what}"
    return "all points are of one task" if is_constant(points.task) else "a straight line in task"


def main(arguments: Sequence[str] | None = None) -> None:
    """Computes, prints and writes what the command line asks for."""
    options = command.parse(CorrelationOptions, __doc__, arguments)
    storage = Storage(options.storage)
    observations = observe(storage, options.pairing)
    if options.measure not in observations.measures:
        raise OptionError(
            f"measure={options.measure}: must be one of {', '.join(observations.measures)}"
        )
    chosen = (TICKET_MEASURES[options.tickets], measure(options.measure))
    parts = settings(observations)
    frames = [_correlated(part, observations, options) for part in parts]
    table = completed(frames, options.pairing)
    console = command.terminal()
    for setting in parts:
        shown = table[
            (table[SETTING] == setting.frame[SETTING].iloc[0]).all(axis=1)
            & (table["ticket_measure"] == options.tickets)
            & (table["plasticity_measure"] == options.measure)
        ]
        center = CENTERS[options.center]
        print_setting(console, setting, shown, *chosen, options.confidence, center)
    root = storage.root.rstrip("/")
    console.print(f"tables   {root}/tables", soft_wrap=True)
    name = "correlation" if options.pairing == "same" else "correlation_pairing_previous"
    files.write(storage, console, name, table, COLUMNS)


def _correlated(
    setting: Setting, observations: Observations, options: CorrelationOptions
) -> pd.DataFrame:
    return correlate(
        setting.frame,
        observations.measures,
        tickets=dict.fromkeys([*observations.tickets, options.tickets]),
        resamples=options.resamples,
        confidence=options.confidence,
        seed=options.seed,
    )


if __name__ == "__main__":
    sys.exit(command.run(main))
