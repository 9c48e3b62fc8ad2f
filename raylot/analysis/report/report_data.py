"""Prepares the data of the report's page, small enough to be sent."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from raylot.analysis.doses.trajectories import dose_order
from raylot.analysis.figures.panels import means_over_seeds
from raylot.analysis.figures.tickets_and_controls import NETWORKS
from raylot.analysis.tables.measures import TICKET_MEASURES, in_order, measure
from raylot.analysis.tables.observations import (
    DOSE,
    SETTING,
    Observations,
    options_by_protocol,
    search_labels,
    whole_network_metrics,
)
from raylot.analysis.tables.ticket_streams import dense_from_stream, found_by, without_dense
from raylot.config import StreamRun, TicketsRun
from raylot.config.doses import NOT_GIVEN
from raylot.foundation.names import PERFORMANCE, WHOLE_NETWORK
from raylot.results.integrity import Unfinished

#: Values of one measure's curves that are kept; longer curves are averaged over several tasks.
MOST_VALUES = 200_000

#: What ``tasks`` says of each task.
CURVES = ("test_accuracy", "online_accuracy", "learning_speed")

_CORRELATIONS = (
    *SETTING, "shift", "sparsity", "label",
    "ticket_measure", "plasticity_measure", "statistic", "estimate", "low", "high", "p_corrected",
    "seeds", "note",
)  # fmt: skip

_RUNS = (
    "run_id", "kind", "measured", "protocol", "stream_run_id", "dataset", "network", "intervention",
    "shift", "seed", "task", "sparsity", "subnetwork", "status", "error", "training_steps",
    "seconds", "engine_used", "device_used", "started",
)  # fmt: skip

#: Columns of ``runs`` that say with what a run was computed.
_VERSIONS = ("raylot_version", "torch_version", "ray_version", "device_used", "engine_used")

#: What tells searches of the same streams apart.
SEARCH = ["protocol", "sparsity", "label"]

#: Significant digits of each number.
_DIGITS = 7

Columns = dict[str, Any]


def begun(runs: pd.DataFrame, unfinished: Iterable[Unfinished]) -> pd.DataFrame:
    """Returns kind, protocol, plugins and doses of all runs; those that have not ended have no
    status."""
    named = ["run_id", "kind", "protocol", "plugins"]
    rows = [run.dose | {name: getattr(run, name) for name in named} for run in unfinished]
    columns = [*named, "status", *DOSE]
    under_way = pd.DataFrame(rows, columns=columns, dtype=object)
    return pd.concat([runs.reindex(columns=columns).astype(object), under_way], ignore_index=True)


def streams(known: pd.DataFrame, tasks: pd.DataFrame) -> pd.DataFrame:
    """Returns identity and protocol of each stream that has learned a task, even if it has not
    ended. Leaves out streams of unknown protocol, as nothing says which others they compare with.

    Args:
        known: from `begun`.
        tasks: the whole table.
    """
    own = tasks[tasks["snapshot"].isna() & (tasks["subnetwork"] == "dense")]
    columns = ["run_id", "dataset", "network", "intervention", "shift", "seed"]
    found = own.drop_duplicates("run_id")[columns]
    of_streams = known[known["kind"] == StreamRun.kind].set_index("run_id")["protocol"]
    found["protocol"] = [of_streams.get(run_id) or None for run_id in found["run_id"]]
    found = found[found["protocol"].notna()]
    doses = sorted(found["intervention"].unique(), key=dose_order)
    found["place"] = found["intervention"].map(doses.index)
    order = ["dataset", "network", "place", "shift", "seed", "run_id"]
    return found.sort_values(order, ignore_index=True).drop(columns="place")


def without_tried(known: pd.DataFrame, runs: pd.DataFrame, tried: Collection[str]) -> pd.DataFrame:
    """Leaves out streams that only chose a setting: nothing stands on them. If all others are
    missing, nothing is left out.

    Args:
        known: from `streams`.
        runs: rows of ``runs``.
        tried: run_ids of the streams of all settings that were tried.
    """
    used = set(runs.loc[runs["kind"] != StreamRun.kind, "stream_run_id"])
    rest = known[~known["run_id"].isin({*tried} - used)].reset_index(drop=True)
    return known if rest.empty else rest


def along_stream(
    known: pd.DataFrame, tasks: pd.DataFrame, plasticity: pd.DataFrame, gaps: pd.DataFrame
) -> Columns:
    """Plasticity of the streams' networks, task by task or at their snapshots.

    Args:
        known: from `streams`.
        tasks, plasticity: the whole tables.
        gaps: from `probe_gaps`.

    Returns:
        ``curves``: measures of every task, each value the mean of ``width`` tasks; ``lines``:
        measure -> its lines, see `lines`, the gaps first.
    """
    learned, width = _binned(tasks[tasks["run_id"].isin(known["run_id"])], "task", len(known))
    learned = learned.assign(line=_lines_of(known, learned["run_id"]))
    found = {name: lines(learned, [], name, "middle") for name in CURVES}
    metrics, gaps = (own[own["stream_run_id"].isin(known["run_id"])] for own in (plasticity, gaps))
    wide = whole_network_metrics(metrics).merge(gaps, on=["stream_run_id", "task"], how="outer")
    names = in_order(set(wide.columns) - {"stream_run_id", "task"})
    wide = wide.assign(
        line=_lines_of(known, wide["stream_run_id"]),
        seed=wide["stream_run_id"].map(known.set_index("run_id")["seed"]),
    )
    curves = {name: own for name, own in found.items() if own}
    others = {name: lines(wide, [], name) for name in names if name not in curves}
    drawn = {name: own for name, own in {**others, **curves}.items() if own}
    ordered = {name: drawn[name] for name in in_order(set(drawn))}
    return {"curves": list(curves), "width": width, "lines": ordered}


def searches(known: pd.DataFrame, observed: Observations, snapshots: pd.DataFrame) -> Columns:
    """A row per snapshot and sparsity, its tickets, controls and plasticity; and their lines."""
    frame = observed.frame.merge(snapshots[["run_id", *NETWORKS]], on="run_id", how="left",
                                 suffixes=("", "_again"))  # fmt: skip
    frame["stream"] = _places(known, frame["stream_run_id"])
    frame = frame[frame["stream"].notna()].sort_values(["stream", "task", "sparsity"])
    frame = frame.assign(label=_labels(frame), line=_lines_of(known, frame["stream_run_id"]))
    names = list(dict.fromkeys([*observed.tickets, *observed.measures, *NETWORKS]))
    return {
        "tickets": observed.tickets,
        "measures": observed.measures,
        **columns(frame, ["run_id", "stream", "task", "protocol", "sparsity", "label"]),
        "values": columns(frame, names),
        "infinite": _infinite(frame, names),
        "lines": {name: lines(frame, SEARCH, name) for name in names},
    }


def ticket_streams(known: pd.DataFrame, runs: pd.DataFrame, tasks: pd.DataFrame) -> Columns:
    """Accuracies of tickets and others on the tasks after a snapshot, as lines.

    Returns:
        ``width``: tasks that each value is the mean of; ``snapshots``: the snapshots' tasks;
        ``lines``: see `lines`. A line without a snapshot is of all of them together; one without
        a search, of a dense network, belongs to every search.
    """
    own = tasks[tasks["snapshot"].notna() & tasks["stream_run_id"].isin(known["run_id"])]
    if len(alone := without_dense(own)):  # then the stream itself is the dense network
        learned = tasks[tasks["run_id"].isin(known["run_id"])]
        own = pd.concat([own, dense_from_stream(alone, learned)], ignore_index=True)
    own = own.assign(
        new_task=own["task"] - own["snapshot"],
        protocol=found_by(own, runs).where(own["subnetwork"] != "dense", ""),
        rounds=own["run_id"].map(runs.set_index("run_id")["rounds"]),
        line=_lines_of(known, own["stream_run_id"]),
    )
    own = own[own["protocol"].notna()]
    starts = own[["run_id", "snapshot"]].drop_duplicates()
    own, width = _binned(own.assign(label=_labels(own)), "new_task", len(starts))
    keys = [*SEARCH, "subnetwork"]
    return {
        "width": width,
        "snapshots": sorted(own["snapshot"].astype(int).unique().tolist()),
        "lines": [
            *lines(own, [*keys, "snapshot"], "test_accuracy", "middle"),
            *lines(own, keys, "test_accuracy", "middle"),
        ],
    }


def plastic_parameters(known: pd.DataFrame, table: pd.DataFrame) -> Columns:
    """Overlap of tickets with the most plastic parameters of the whole network, as lines, and what
    chance alone would give."""
    own = table[table["layer"] == WHOLE_NETWORK]
    own = own.assign(label=_labels(own), line=_lines_of(known, own["stream_run_id"]))
    return {name: lines(own, [*SEARCH, "selection"], name) for name in ("jaccard", "chance")}


def lines(rows: pd.DataFrame, keys: Sequence[str], column: str, x: str = "task") -> list[Columns]:
    """Means over seeds along x as the figures draw them, and the values of each seed alone.

    Args:
        rows: with ``line`` (the stream that stands for all that differ from it in seed only),
            ``seed``, the keys, the column and x.
        keys: columns that tell lines of the same streams apart.
        column: whose means are taken, of values that are not infinite.
        x: what they lie along.

    Returns:
        A line per part of the rows, and one per part and seed: ``stream``, the keys, ``seed``
        (empty: all), ``x``, ``mean``, and how many values are ``infinite``; of all seeds also the
        t interval's ``low`` and ``high``, and how many ``seeds`` each mean is over.
    """
    found: list[Columns] = []
    needed = rows[list(dict.fromkeys(["line", *keys, "seed", column, x]))]
    for (stream, *names), part in needed.groupby(["line", *keys], dropna=False):
        texts = [name if isinstance(name, str) else _number(name) for name in names]
        place = {"stream": _number(stream), **dict(zip(keys, texts, strict=True))}
        values = part[column].astype(float)
        given, infinite = part[np.isfinite(values)], part.loc[np.isinf(values), "seed"]
        means = means_over_seeds(given, column, x)
        if not means:
            continue
        whole: Columns = {
            name: _numbers(getattr(mean, name) for mean in means.values())
            for name in ("mean", "low", "high", "seeds")
        }
        found.append(
            {**place, "seed": "", "infinite": len(infinite), "x": _numbers(means), **whole}
        )
        for seed, own in given.groupby("seed"):
            mean = own.groupby(x)[column].mean()
            alone = {"seed": str(seed), "infinite": int((infinite == seed).sum())}
            found.append({**place, **alone, "x": _numbers(mean.index), "mean": _numbers(mean)})
    return found


def run_columns(runs: pd.DataFrame, unfinished: Iterable[Unfinished]) -> Columns:
    """All runs with their status and cost; those that have not ended with how far they are."""
    rows = runs.reindex(columns=list(_RUNS))
    rows["measured"] = runs["metrics"].where(runs["measured"] == "metric", runs["measured"])
    rows["seed"] = rows["seed"].astype(str)  # may have more digits than a page's numbers
    rows["started"] = pd.to_datetime(rows["started"]).dt.strftime("%Y-%m-%d %H:%M:%S")
    under_way = pd.DataFrame(
        [
            {"run_id": run.run_id, "kind": run.kind, "protocol": run.protocol,
             "stream_run_id": run.run_id, "status": "not ended",
             "error": f"{run.label}: {run.steps} of {run.of} steps saved",
             "training_steps": run.steps}
            for run in unfinished
        ],
        columns=list(_RUNS),
    )  # fmt: skip
    frames = [frame for frame in (rows, under_way.astype(rows.dtypes)) if len(frame)]
    return columns(pd.concat(frames, ignore_index=True) if frames else rows, list(_RUNS))


def correlation_columns(correlations: pd.DataFrame) -> Columns:
    """Returns the correlations that `raylot analyse correlation` writes."""
    return columns(correlations.assign(label=_labels(correlations)), list(_CORRELATIONS))


def provenance(runs: pd.DataFrame) -> dict[str, list[str]]:
    """The versions, devices and engines that runs were computed with, the most frequent first."""
    return {
        name: [str(value) for value in runs[name].dropna().value_counts().index]
        for name in _VERSIONS
    }


def protocols(runs: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Protocol -> its options as text; those that were not given are left out."""
    return {
        protocol: {name: text for name, text in options.items() if text != NOT_GIVEN}
        for protocol, options in options_by_protocol(runs).items()
    }


def is_whole(known: pd.DataFrame, runs: pd.DataFrame) -> bool:
    """Whether the study seems complete: no run has failed, and each stream has been searched at
    every snapshot of its protocol and at each sparsity at which another stream has. Diverged
    streams do not count, as they may have no snapshots.

    Args:
        known: from `streams`.
        runs: rows of ``runs``.
    """
    diverged = runs.loc[runs["status"] == "diverged", "run_id"]
    lasting = known[~known["run_id"].isin(diverged)]
    searches = runs[(runs["kind"] == TicketsRun.kind) & ~runs["stream_run_id"].isin(diverged)]
    snapshots = runs[runs["kind"] == StreamRun.kind].set_index("run_id")["snapshots"]
    searched = searches.drop_duplicates(["protocol", "stream_run_id"]).set_index("protocol")
    of_streams = searched["stream_run_id"].map(snapshots.str.count(",") + 1)
    planned = of_streams.groupby(level="protocol").sum(min_count=1)
    at_each = searches.groupby(["protocol", "sparsity", "rounds"], dropna=False).size()
    return bool(
        (runs["status"] != "failed").all()
        and lasting["run_id"].isin(searches["stream_run_id"]).all()
        and at_each.sub(planned, level="protocol").eq(0).all()
    )


def labels(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Measure -> its name in words, its axis, and whether high is plastic (1) or not (-1)."""
    return {
        name: {"label": known.label, "axis": known.axis_label, "orientation": known.orientation}
        for name in dict.fromkeys([*CURVES, *PERFORMANCE, *TICKET_MEASURES, *names])
        for known in [measure(name)]
    }


def _places(known: pd.DataFrame, run_ids: pd.Series[str]) -> pd.Series[float]:
    """Returns the place of each run's stream among the known ones."""
    return run_ids.map(pd.Series(range(len(known)), index=known["run_id"]))


def _lines_of(known: pd.DataFrame, run_ids: pd.Series[str]) -> pd.Series[float]:
    """Returns the place of the first stream that differs from each run's stream in seed only."""
    like = [name for name in known if name not in ("run_id", "seed")]
    return run_ids.map(
        _places(known, known.groupby(like)["run_id"].transform("first")).set_axis(known["run_id"])
    )


def _binned(rows: pd.DataFrame, x: str, curves: int) -> tuple[pd.DataFrame, int]:
    """Adds the ``middle`` of the bin along x that each row lies in, and says how wide bins are, so
    that all curves together have `MOST_VALUES` at most."""
    if rows.empty:
        return rows.assign(middle=rows[x]), 1
    first, last = int(rows[x].min()), int(rows[x].max())
    width = -(-(last - first + 1) * curves // MOST_VALUES)
    start = first + (rows[x] - first) // width * width
    return rows.assign(middle=(start + (width - 1) / 2).clip(upper=last)), width


def _labels(rows: pd.DataFrame) -> list[str]:
    """``sparsity 0.8`` of each row, with the rounds where they differ; empty without a sparsity."""
    known = search_labels(rows[rows["sparsity"].notna()])
    searches = zip(rows["sparsity"], rows["rounds"], strict=True)
    return [known.get((s, None if pd.isna(r) else int(r)), "") for s, r in searches]


def columns(frame: pd.DataFrame, names: Sequence[str]) -> Columns:
    """Each column as a list; texts that repeat are listed once, and counted from 0."""
    return {name: _column(frame[name]) for name in names}


def _infinite(frame: pd.DataFrame, names: Sequence[str]) -> dict[str, dict[int, int]]:
    """Column -> row -> 1 or -1 where a value is infinite, which JSON cannot hold: null there."""
    found = {}
    for name in names:
        values = frame[name].to_numpy(dtype=float, na_value=np.nan)
        if (rows := np.flatnonzero(np.isinf(values))).size:
            found[name] = {int(row): int(np.sign(values[row])) for row in rows}
    return found


def _column(values: pd.Series[Any]) -> Any:
    if pd.api.types.is_numeric_dtype(values.dtype):
        return _numbers(values.to_numpy(dtype=float, na_value=np.nan))
    codes, texts = pd.factorize(values)
    if len(texts) > len(values) / 2:
        return [None if pd.isna(value) else str(value) for value in values]
    return {"texts": [str(text) for text in texts], "codes": codes.tolist()}


def _numbers(values: Iterable[Any]) -> list[float | int | None]:
    return [_number(value) for value in values]


def _number(value: Any) -> float | int | None:
    """Returns a rounded number; None for what JSON cannot hold."""
    if pd.isna(value) or not np.isfinite(value):
        return None
    number = float(value)
    if number.is_integer() and abs(number) < 1e15:
        return int(number)
    return float(f"{number:.{_DIGITS}g}")


def filters(known: pd.DataFrame, sparsities: pd.Series[float]) -> dict[str, list[Any]]:
    """Returns the choices of each filter, in the order in which the page offers them."""
    found: dict[str, list[Any]] = {
        name: sorted(known[name].unique().tolist())
        for name in ("dataset", "network", "intervention", "shift")
    }
    found["intervention"].sort(key=dose_order)
    found["seed"] = [str(seed) for seed in sorted(known["seed"].unique().tolist())]
    return found | {"sparsity": sorted({n for n in _numbers(sparsities) if n is not None})}
