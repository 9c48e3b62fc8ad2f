"""Reads a storage's tables for analysis, without rows that raylot cannot have written.

One bad row, as in a storage that somebody edited, must neither end an analysis nor count in it.
Each table with such rows is reported in one line, and the analysis goes on with the others.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from raylot import results
from raylot.analysis.words import counted
from raylot.foundation.errors import shown
from raylot.foundation.text import one_line
from raylot.results.columns import COLUMNS
from raylot.results.manifest import GROWING
from raylot.results.outdated import outdated_runs
from raylot.results.unchanged import read_unchanged
from raylot.storage import Storage

_log = logging.getLogger(__name__)

#: Names and ids: they become parts of file names, labels and titles.
_WORD = re.compile("[A-Za-z0-9][A-Za-z0-9_.@-]{0,99}")
#: Names of layers are the user's own.
_TEXT = re.compile("[^\\x00-\\x1f\\x7f-\\x9f]{1,200}")
_PLUGIN = r"[\w.@-]+:[\w.@-]+:[\w.@-]+"
_PLUGINS = re.compile(f"({_PLUGIN}(,{_PLUGIN})*)?")

#: How far a fraction may lie outside [0, 1] by rounding.
_ROUNDING = 1e-9

_KINDS = tuple(GROWING)
_STATUS = ("finished", "diverged", "failed")

_WORDS = (
    "run_id", "dataset", "network", "shift", "intervention", "stream_run_id", "protocol",
    "subnetwork", "metric", "control", "compared_with", "selection", "trained", "probe_shift",
    "search_task",
)  # fmt: skip
#: Column -> its least and its largest value.
_RANGES = {
    name: (column.low, column.high)
    for columns in COLUMNS.values()
    for name, column in columns.items()
    if column.low is not None and column.high is not None
}

#: Columns that no row lacks, by table: what tells its rows from others.
_IDENTITY = ("run_id", "dataset", "network", "shift", "intervention", "seed")
_SEARCH = (*_IDENTITY, "task", "sparsity")
_NEEDED: dict[str, tuple[str, ...]] = {
    "runs": (*_IDENTITY, "kind", "status"),
    "tasks": (*_IDENTITY, "task", "subnetwork"),
    "plasticity": (*_IDENTITY, "stream_run_id", "task", "layer", "metric"),
    "probes": (*_IDENTITY, "stream_run_id", "trained", "probe_shift", "search_task", "probe_task"),
    "barriers": (*_IDENTITY, "stream_run_id", "task", "trained", "pair"),
    "tickets": (*_SEARCH, "control", "round"),
    "overlaps": (*_SEARCH, "layer", "ticket_a", "ticket_b"),
    "plastic_parameters": (*_SEARCH, "stream_run_id", "protocol", "layer", "selection"),
    "snapshots": (*_SEARCH, "stream_run_id", "protocol"),
}

#: Tables that have one row per run.
_ONE_ROW = ("runs", "snapshots")

Holds = Callable[[pd.Series], npt.NDArray[np.bool_]]


def _matching(pattern: re.Pattern[str]) -> Holds:
    def holds(values: pd.Series) -> npt.NDArray[np.bool_]:
        fits = [text for text in values.dropna().unique() if pattern.fullmatch(str(text))]
        return values.isin(fits).to_numpy()

    return holds


def _among(names: Sequence[str]) -> Holds:
    return lambda values: values.isin(names).to_numpy()


def _between(low: float, high: float) -> Holds:
    return lambda values: values.between(low - _ROUNDING, high + _ROUNDING).to_numpy()


#: Column -> what its values must be, in words, and a function that marks the values that comply;
#: missing values always do.
_CHECKS: dict[str, tuple[str, Holds]] = {
    **dict.fromkeys(_WORDS, ("a short name", _matching(_WORD))),
    "layer": ("a printable name", _matching(_TEXT)),
    "plugins": ("kind:name:hash, ...", _matching(_PLUGINS)),
    "kind": (f"one of {', '.join(_KINDS)}", _among(_KINDS)),
    "status": (f"one of {', '.join(_STATUS)}", _among(_STATUS)),
    **{
        name: (f"a number in [{low:g}, {high:g}]", _between(low, high))
        for name, (low, high) in _RANGES.items()
    },
}


def read(storage: Storage, table: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Reads a table as `raylot.results.read` does, without rows that no run of raylot writes."""
    wanted = None if columns is None else list(dict.fromkeys([*columns, *_NEEDED[table]]))
    frame = read_unchanged(storage, table, wanted)
    kept = np.ones(len(frame), dtype=bool)
    said = []
    for name in filter(set(frame).__contains__, _CHECKS):
        values, (accepts, holds) = frame[name], _CHECKS[name]
        there = values.notna().to_numpy()
        bad = kept & np.where(there, ~holds(values), name in _NEEDED[table])
        if bad.any():
            first = values[bad].iloc[0]
            given = "none" if pd.isna(first) else shown(first)
            said.append(f"{name}={given}: must be {accepts} ({_rows(bad)})")
            kept &= ~bad
    if table in _ONE_ROW:
        again = kept & frame["run_id"].where(kept).duplicated().to_numpy()
        if again.any():
            said.append(f"run_id={frame.loc[again, 'run_id'].iloc[0]}: twice ({_rows(again)})")
            kept &= ~again
    if old := outdated_runs(storage):
        own = ["run_id", *({"stream_run_id"} & {*frame})]
        is_old = kept & frame[own].isin(old.keys()).any(axis=1).to_numpy()
        if is_old.any():
            changes = ", and ".join(dict.fromkeys(old.values()))
            said.append(f"computed before a fix ({changes}; {_rows(is_old)})")
            kept &= ~is_old
    if said:
        where = f"{storage.root.rstrip('/')}/tables/{table}"
        report_once(one_line(f"{where}: {_rows(~kept)} left out: {'; '.join(said)}"))
        frame = frame[kept].reset_index(drop=True)
        # columns of whole numbers are whole again, now that rows without a number are left out
        whole = [name for name in frame if results.SCHEMAS[table][str(name)] == pa.int64()]
        frame = frame.astype({name: "int64" for name in whole if frame[name].notna().all()})
    frame = frame if columns is None else frame[list(columns)]
    return _printable(frame) if table == "runs" else frame


@functools.cache
def report_once(line: str) -> None:
    """Reports what was left out, once per process, as several readers meet the same rows."""
    _log.warning("%s", line)


def _rows(chosen: npt.NDArray[np.bool_]) -> str:
    return counted(int(chosen.sum()), "row")


def _printable(runs: pd.DataFrame) -> pd.DataFrame:
    """Escapes characters in free texts, such as errors, that could steer a terminal."""
    for name in runs.select_dtypes(["object", "string"]).columns:
        odd = [text for text in runs[name].dropna().unique() if not str(text).isprintable()]
        if odd:
            runs[name] = runs[name].replace({text: one_line(text) for text in odd})
    return runs
