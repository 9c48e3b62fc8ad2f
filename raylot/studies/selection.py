"""Picks the one run that some options name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import pandas as pd
from pandas.api.types import is_numeric_dtype, is_scalar

from raylot.config import StreamRun
from raylot.config.options import unknown_option
from raylot.config.ticket_runs import stream_of_search
from raylot.foundation.errors import OptionError, shown

AnyRun = TypeVar("AnyRun", bound=StreamRun)

#: Options by which a study's runs are told apart first.
_MAIN = ("dataset", "network", "shift", "intervention", "seed", "task", "sparsity")


def the_run(runs: pd.DataFrame, kind: type[AnyRun], options: Mapping[str, Any]) -> AnyRun:
    """Returns the one ended run of a kind that has the options given.

    Args:
        runs: the table ``runs``.
        kind: `StreamRun` or a kind that stands on it.
        options: of that kind of run, with values as Python has them; also ``run_id``.

    Raises:
        OptionError: no run, or more than one, has these options; says which values there are.
    """
    names = ["run_id", *kind.model_fields]
    runs = runs[(runs["kind"] == kind.kind) & (runs["status"] != "failed")]
    for name, value in options.items():
        if name not in names:
            raise OptionError(unknown_option(name, value, names))
        matching = runs[_equal(runs[name], value)]
        if matching.empty:
            what = _listed(runs[name]) or f"an option of a run; no {kind.kind} run has ended yet"
            given = repr(value) if is_numeric_dtype(runs[name]) else shown(value)
            raise OptionError(f"{name}={given}: must be {what}")
        runs = matching
    if runs.empty:
        raise OptionError(f"no {kind.kind} run has ended yet")
    if len(runs) > 1:
        differing = _telling_apart(runs, list(kind.model_fields))
        values = "; ".join(f"{name}: {_listed(runs[name])}" for name in differing)
        raise OptionError(
            f"{', '.join(differing)}: must be given, as {len(runs)} runs match ({values})"
        )
    row = runs.iloc[0]
    own = {name: row[name] for name in kind.model_fields if not pd.isna(row[name])}
    return kind.checked(**own, **stream_of_search(own))


def _telling_apart(runs: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Returns options that tell runs apart, none of them needless, main ones before others: the
    shift, and not its fraction, which follows from it."""
    differing = [name for name in names if runs[name].nunique(dropna=False) > 1]
    first = [name for name in _MAIN if name in differing]
    ordered = [*first, *(name for name in differing if name not in first)]
    chosen: list[str] = []
    for name in ordered:
        if _kinds(runs, [*chosen, name]) > _kinds(runs, chosen):
            chosen.append(name)
    for name in reversed(chosen):  # a later one may have made an earlier one needless
        others = [other for other in chosen if other != name]
        if _kinds(runs, others) == _kinds(runs, chosen):
            chosen = others
    return chosen


def _kinds(runs: pd.DataFrame, names: list[str]) -> int:
    """Returns how many kinds of runs these options tell apart."""
    return len(runs[names].drop_duplicates()) if names else 1


def _equal(column: pd.Series, value: Any) -> pd.Series:
    """Marks the cells that hold a value; a list of numbers is text in the table, as ``256,256``."""
    if value is None:
        return column.isna()
    if not is_numeric_dtype(column):
        value = ",".join(map(str, value)) if isinstance(value, list | tuple | range) else str(value)
        column = column.map(str)
    return column.eq(value) if is_scalar(value) else pd.Series(False, column.index)


def _listed(column: pd.Series) -> str:
    """``one of 0, 1, 2``: the values in a column."""
    # pandas turns whole numbers into floats where some are missing; this turns them back.
    values = sorted(column.dropna().convert_dtypes().unique())
    values += [None] * bool(column.isna().any())
    first = ", ".join(map(str, values[:20])) + ", ..." * (len(values) > 20)
    return f"one of {first}" if values else ""
