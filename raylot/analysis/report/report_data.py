"""What the report's page draws from: a storage's tables as columns, small enough to be sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from raylot.analysis.figures.material import search_protocols
from raylot.analysis.figures.ticket_streams import dense_from_stream
from raylot.analysis.statistics.intervals import Array
from raylot.analysis.tables.measures import TICKET_MEASURES, in_order, measure
from raylot.analysis.tables.observations import (
    NOT_GIVEN,
    Observations,
    options_by_protocol,
    whole_network_metrics,
)
from raylot.config import StreamRun, TicketsRun, TicketStreamRun
from raylot.foundation.names import PERFORMANCE, WHOLE_NETWORK
from raylot.results.integrity import Unfinished

#: Values of one measure's curves that are kept; longer curves are averaged over several tasks.
MOST_VALUES = 200_000

#: What ``tasks`` says of each task.
CURVES = ("test_accuracy", "online_accuracy", "learning_speed")

#: Accuracies of a snapshot's tickets and of what they are compared with: columns of ``snapshots``.
CONTROLS = (
    "dense_accuracy",
    "ticket_accuracy",
    "random_accuracy",
    "shuffled_accuracy",
    "reinit_accuracy",
)

_CORRELATIONS = (
    "protocol", "dataset", "network", "intervention", "shift", "sparsity", "rounds",
    "ticket_measure", "plasticity_measure", "statistic", "estimate", "low", "high", "p_corrected",
    "seeds", "note",
)  # fmt: skip

_RUNS = (
    "run_id", "kind", "protocol", "stream_run_id", "dataset", "network", "intervention", "shift",
    "seed", "task", "sparsity", "subnetwork", "status", "error", "training_steps", "seconds",
    "engine_used", "device_used", "started",
)  # fmt: skip

#: Columns of ``runs`` that say with what a run was computed.
_VERSIONS = ("raylot_version", "torch_version", "ray_version", "device_used", "engine_used")

#: Figures that are kept of a number, and of one on a curve.
_DIGITS, _CURVE_DIGITS = 7, 4

#: Degrees of freedom up to which the page knows the t distribution; beyond, it takes the last.
_FREEDOM = 500

Columns = dict[str, Any]


def begun(runs: pd.DataFrame, unfinished: Iterable[Unfinished]) -> pd.DataFrame:
    """What is known of all runs, also of those that have not ended: kind, protocol and plugins."""
    columns = ["run_id", "kind", "protocol", "plugins"]
    rows = [{name: getattr(run, name) for name in columns} for run in unfinished]
    under_way = pd.DataFrame(rows, columns=columns, dtype=object)
    return pd.concat([runs[columns].astype(object), under_way], ignore_index=True)


def streams(known: pd.DataFrame, tasks: pd.DataFrame) -> pd.DataFrame:
    """A row per stream that has learned a task, also of those that have not ended: its identity
    and protocol. One of which the protocol is not known is left out: nobody knows what it may be
    compared with.

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
    found["other"] = found["intervention"] != "none"  # what all are compared with comes first
    order = ["dataset", "network", "other", "intervention", "shift", "seed", "run_id"]
    return found.sort_values(order, ignore_index=True).drop(columns="other")


def stream_columns(known: pd.DataFrame) -> Columns:
    """The streams themselves, as the page's other columns count them."""
    return _columns(known.assign(seed=known["seed"].astype(str)), list(known.columns))


def curves(known: pd.DataFrame, tasks: pd.DataFrame) -> Columns:
    """Accuracies of every task of the streams, a list per stream.

    Returns:
        ``width``: tasks that each value is the mean of; ``tasks``: the task in the middle of each
        value's; ``values``: measure -> per stream, its values.
    """
    own = tasks[tasks["run_id"].isin(known["run_id"])]
    return _curves(own, "run_id", known["run_id"].tolist(), "task", CURVES)


def structure(known: pd.DataFrame, plasticity: pd.DataFrame) -> Columns:
    """Every metric of the whole network at each snapshot of the streams."""
    wide = whole_network_metrics(plasticity[plasticity["run_id"].isin(known["run_id"])])
    names = in_order(set(wide.columns) - {"stream_run_id", "task"})
    wide["stream"] = _places(known, wide["stream_run_id"])
    return {
        **_columns(wide, ["stream", "task"]),
        "values": _columns(wide, names),
        "infinite": _infinite(wide, names),
    }


def searches(known: pd.DataFrame, observed: Observations, snapshots: pd.DataFrame) -> Columns:
    """A row per snapshot and sparsity: its tickets, controls and plasticity."""
    frame = observed.frame.merge(snapshots[["run_id", *CONTROLS]], on="run_id", how="left",
                                 suffixes=("", "_again"))  # fmt: skip
    frame["stream"] = _places(known, frame["stream_run_id"])
    frame = frame[frame["stream"].notna()].sort_values(["stream", "task", "sparsity"])
    names = dict.fromkeys([*observed.tickets, *observed.measures, *CONTROLS])
    return {
        "tickets": observed.tickets,
        "measures": observed.measures,
        **_columns(frame, ["run_id", "stream", "task", "protocol", "sparsity", "rounds"]),
        "values": _columns(frame, list(names)),
        "infinite": _infinite(frame, list(names)),
    }


def ticket_streams(known: pd.DataFrame, runs: pd.DataFrame, tasks: pd.DataFrame) -> Columns:
    """Accuracies of tickets and others on the tasks after a snapshot, a list per run."""
    own = tasks[tasks["snapshot"].notna() & tasks["stream_run_id"].isin(known["run_id"])]
    place = own["stream_run_id"] + " " + own["snapshot"].astype(str)
    alone = own[~place.isin(place[own["subnetwork"] == "dense"])]
    if len(alone):  # then the stream itself is the dense network
        learned = tasks[tasks["run_id"].isin(known["run_id"])]
        own = pd.concat([own, dense_from_stream(alone, learned)], ignore_index=True)
    own = own.assign(
        new_task=own["task"] - own["snapshot"],
        learner=own["run_id"] + " " + own["snapshot"].astype(str),
    )
    ended = runs[runs["kind"] == TicketStreamRun.kind].set_index("run_id")
    first = own.drop_duplicates("learner").copy()
    found_by = first["run_id"].map(ended["protocol"].map(search_protocols(ended)))
    first["protocol"] = found_by.where(first["subnetwork"] != "dense", "")
    first["rounds"] = first["run_id"].map(ended["rounds"])
    first["stream"] = _places(known, first["stream_run_id"])
    first = first[first["protocol"].notna()]
    columns = ["run_id", "stream", "snapshot", "sparsity", "rounds", "subnetwork", "protocol"]
    return {
        **_columns(first, columns),
        "curves": _curves(own, "learner", first["learner"].tolist(), "new_task", ["test_accuracy"]),
    }


def plastic_parameters(known: pd.DataFrame, table: pd.DataFrame) -> Columns:
    """Overlap of tickets with the most plastic parameters of the whole network."""
    own = table[table["layer"] == WHOLE_NETWORK].copy()
    own["stream"] = _places(known, own["stream_run_id"])
    own = own[own["stream"].notna()]
    columns = ["run_id", "stream", "task", "sparsity", "rounds", "protocol", "selection"]
    return _columns(own, [*columns, "jaccard", "chance"])


def run_columns(runs: pd.DataFrame, unfinished: Iterable[Unfinished]) -> Columns:
    """All runs with their status and cost; those that have not ended with how far they are."""
    rows = runs.reindex(columns=list(_RUNS))
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
    return _columns(pd.concat(frames, ignore_index=True) if frames else rows, list(_RUNS))


def correlation_columns(correlations: pd.DataFrame) -> Columns:
    """What analysis/correlation.py finds, as its file has it."""
    return _columns(correlations, list(_CORRELATIONS))


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
    """Whether nothing seems to be missing: no run has failed, and each stream has been searched at
    every snapshot of its protocol, at each sparsity at which another stream has. Those that
    diverged do not count: they may have no snapshots.

    Args:
        known: from `streams`.
        runs: rows of ``runs``.
    """
    diverged = runs.loc[runs["status"] == "diverged", "run_id"]
    lasting = known[~known["run_id"].isin(diverged)]
    searches = runs[(runs["kind"] == TicketsRun.kind) & ~runs["stream_run_id"].isin(diverged)]
    of_protocols = searches.groupby("protocol")
    snapshots = of_protocols["snapshots"].first().str.count(",") + 1
    planned = of_protocols["stream_run_id"].nunique() * snapshots
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


def t_quantiles() -> list[float]:
    """97.5% quantiles of the t distribution with 1, 2, ... degrees of freedom."""
    return [round(float(q), 6) for q in special.stdtrit(np.arange(1, _FREEDOM + 1), 0.975)]


def _places(known: pd.DataFrame, run_ids: pd.Series[str]) -> pd.Series[float]:
    """Where each stream stands among those that are known."""
    return run_ids.map(pd.Series(range(len(known)), index=known["run_id"]))


def _curves(
    rows: pd.DataFrame, whose: str, learners: Sequence[str], x: str, names: Sequence[str]
) -> dict[str, Any]:
    """Curves along x, a list of values per learner, averaged to `MOST_VALUES` in all."""
    if rows.empty or not learners:
        return {"width": 1, "tasks": [], "values": {name: [] for name in names}}
    first, last = int(rows[x].min()), int(rows[x].max())
    width = -(-(last - first + 1) * len(learners) // MOST_VALUES)
    bins = ((rows[x] - first) // width).astype(int)
    count = (last - first) // width + 1
    found: dict[str, Any] = {
        "width": width,
        "tasks": [min(first + i * width + (width - 1) / 2, last) for i in range(count)],
    }
    found["values"] = values = {}
    for name in names:
        by_bin = rows[name].astype(float).groupby([rows[whose], bins]).mean().unstack()
        by_bin = by_bin.reindex(index=list(learners), columns=range(count))
        values[name] = [_numbers(own, _CURVE_DIGITS) for own in by_bin.to_numpy()]
    return found


def _columns(frame: pd.DataFrame, names: Sequence[str]) -> Columns:
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


def _numbers(values: Array, digits: int = _DIGITS) -> list[float | int | None]:
    return [_number(float(value), digits) for value in values]


def _number(value: float, digits: int) -> float | int | None:
    if not np.isfinite(value):
        return None
    if value.is_integer() and abs(value) < 1e15:
        return int(value)
    return float(f"{value:.{digits}g}")


def filters(known: pd.DataFrame, parts: Mapping[str, Array]) -> dict[str, list[Any]]:
    """What can be chosen: option -> its values, in the order in which they are offered."""
    found: dict[str, list[Any]] = {
        name: sorted(known[name].unique().tolist())
        for name in ("dataset", "network", "intervention", "shift")
    }
    found["seed"] = [str(seed) for seed in sorted(known["seed"].unique().tolist())]
    for name, values in parts.items():
        found[name] = sorted({number for number in _numbers(values) if number is not None})
    return found
