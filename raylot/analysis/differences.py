"""Compares two runs, or two storages: options, versions, results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from raylot import results
from raylot.foundation.errors import OptionError, shown
from raylot.foundation.text import one_line
from raylot.results.columns import IDENTITY
from raylot.storage import Storage

#: Table -> the columns that, with the run, say which row is which. The others are measures.
KEYS = {
    "tasks": ["task", "subnetwork", "snapshot", "sparsity", "ticket"],
    "plasticity": ["task", "subnetwork", "snapshot", "sparsity", "ticket", "layer", "metric",
                   "setting"],
    "probes": ["task", "trained", "probe_shift", "probe_task"],
    "barriers": ["task", "trained", "pair", "sparsity", "search_task"],
    "mask_distances": ["task", "sparsity", "scope", "copy", "epoch", "compared_with"],
    "tickets": ["task", "sparsity", "search_task", "control", "ticket", "round"],
    "overlaps": ["task", "sparsity", "search_task", "layer", "compared_with", "ticket_a",
                 "ticket_b"],
    "plastic_parameters": ["task", "sparsity", "search_task", "layer", "selection"],
    "snapshots": ["task", "sparsity", "search_task"],
}  # fmt: skip

#: Columns that name runs, or differ with every run and mean nothing.
_NAMES = {*IDENTITY, "stream_run_id", "protocol"}
_ALWAYS_DIFFERENT = {
    "run_id", "stream_run_id", "files", "inputs", "started", "seconds", "training_seconds",
    "plasticity_seconds",
}  # fmt: skip


@dataclass(frozen=True)
class Side:
    """One of the two things that are compared: all runs of a storage, or one of them.

    Attributes:
        storage: where it is.
        run_id: which run; None: all.
    """

    storage: Storage
    run_id: str | None = None

    def table(self, name: str) -> pd.DataFrame:
        """Returns its rows of a table."""
        rows = results.read(self.storage, name)
        return rows if self.run_id is None else rows[rows["run_id"] == self.run_id]


@dataclass(frozen=True)
class Result:
    """How one measure differs.

    Attributes:
        table, measure: which; for ``plasticity`` the metric.
        rows: rows that both sides have.
        different: of these, rows with another value.
        largest: the largest |difference| of two numbers; NaN if there are none, or one is NaN.
        means: of the numbers in these rows, on either side.
    """

    table: str
    measure: str
    rows: int
    different: int
    largest: float
    means: tuple[float, float]


def find_run(storage: Storage, prefix: str) -> str:
    """Returns the run_id that begins with a text.

    Raises:
        OptionError: no ended run's does, or several do.
    """
    known = sorted(set(results.read(storage, "runs", ["run_id"])["run_id"]))
    found = [run_id for run_id in known if run_id.startswith(prefix)] if prefix else []
    if prefix in found or len(found) == 1:
        return prefix if prefix in found else found[0]
    some = f"the beginning of {', '.join(found[:5])}" if found else "that of none"
    raise OptionError(
        f"{shown(f'{storage.root}:{prefix}')}: must end with the run_id of an ended run there, or "
        f"with a beginning that no other has; here it is {some}"
    )


def options(one: Side, other: Side) -> dict[str, tuple[str, str]]:
    """Returns columns of ``runs`` (options, versions, how runs ended) with other values.

    Returns:
        Column -> the values on either side, each once, with commas between them.
    """
    sides = [side.table("runs").drop(columns=sorted(_ALWAYS_DIFFERENT)) for side in (one, other)]
    values = [{name: _distinct(rows[name]) for name in rows} for rows in sides]
    return {
        str(name): (", ".join(mine), ", ".join(theirs))
        for name, mine in values[0].items()
        if mine != (theirs := values[1][name])
    }


def runs(one: Side, other: Side) -> dict[str, tuple[int, int, int]]:
    """Returns kind of run -> how many runs are on one side alone, on the other alone, on both."""
    kinds = [
        dict(zip(rows["run_id"], rows["kind"], strict=True))
        for rows in (one.table("runs"), other.table("runs"))
    ]
    first, second = (set(of.items()) for of in kinds)
    counts = {}
    for kind in sorted({kind for _, kind in first | second}):
        parts = (first - second, second - first, first & second)
        counts[kind] = tuple(sum(of == kind for _, of in part) for part in parts)
    return {kind: (a, b, both) for kind, (a, b, both) in counts.items()}


def compared(one: Side, other: Side) -> list[Result]:
    """Returns how each measure of each table compares, in rows that both sides have.

    Rows of two storages are paired run by run. Rows of two runs are paired by what varies within
    the runs, as task and layer.
    """
    found: list[Result] = []
    for table, keys in KEYS.items():
        sides = [side.table(table) for side in (one, other)]
        if any(rows.empty for rows in sides):
            continue
        names = ["run_id", *keys]
        if one.run_id is not None:
            names = [key for key in keys if any(rows[key].nunique(dropna=False) > 1
                                                for rows in sides)]  # fmt: skip
        others = _NAMES | ({*keys} - {"metric"})
        measures = [name for name in results.SCHEMAS[table] if name not in others]
        first, second = (_indexed(rows, names)[measures] for rows in sides)
        both = first.index.intersection(second.index)
        if len(both):
            found += _results(table, first.loc[both], second.loc[both])
    return found


def _indexed(rows: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Indexes rows by columns as text, so that a missing value equals another."""
    keys = [[one_line(value) for value in rows[name]] for name in names]
    index = list(zip(*keys, strict=True)) if keys else [()] * len(rows)
    frame = rows.set_axis(pd.Index(index, tupleize_cols=False))
    return frame[~frame.index.duplicated()]


def _results(table: str, first: pd.DataFrame, second: pd.DataFrame) -> Iterator[Result]:
    if table != "plasticity":
        for name in first:
            yield _result(table, str(name), first[name], second[name])
        return
    for metric, rows in first.groupby("metric"):
        yield _result(table, str(metric), rows["value"], second.loc[rows.index, "value"])


def _result(table: str, measure: str, one: pd.Series, other: pd.Series) -> Result:
    """Compares values bit for bit; two missing ones are the same."""
    differ = ~((one == other).fillna(False) | (one.isna() & other.isna())).astype(bool)
    largest, means = float("nan"), (float("nan"), float("nan"))
    if all(pd.api.types.is_numeric_dtype(values) for values in (one, other)):
        pair = [values.to_numpy(dtype=float, na_value=np.nan) for values in (one, other)]
        with np.errstate(invalid="ignore"):  # of two infinite values
            gaps = np.abs(pair[0] - pair[1])[differ.to_numpy()]
        largest = float(gaps.max()) if len(gaps) else 0.0
        means = (float(np.mean(pair[0])), float(np.mean(pair[1])))
    return Result(table, measure, len(one), int(differ.sum()), largest, means)


def _distinct(values: pd.Series) -> list[str]:
    """Returns different values as text; numbers in their order, none as a dash."""
    present = sorted(values.dropna().unique().tolist(), key=lambda v: (isinstance(v, str), v))
    return [*(["-"] if values.isna().any() else []), *(_text(value) for value in present)]


def _text(value: object) -> str:
    return repr(value) if isinstance(value, float) else one_line(value)
