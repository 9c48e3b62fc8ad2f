"""Lays what a study found beside the numbers that somebody else published.

Writes STORAGE/analysis/reproduction_NAME.csv and .parquet; prints which published numbers and
claims agree with ours.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from rich.console import Console

from raylot.analysis import command, output
from raylot.analysis.output import plain_table
from raylot.analysis.statistics.intervals import mean_interval
from raylot.analysis.statistics.spread import prediction_interval
from raylot.analysis.tables import tables
from raylot.analysis.words import counted
from raylot.foundation.names import ENOUGH_SEEDS
from raylot.reproductions import EXPERIMENTS, Experiment, Published
from raylot.storage import Storage

COLUMNS: dict[str, pa.DataType] = {
    "quantity": pa.string(),
    "published_low": pa.float64(),  # -inf or inf: a claim about one side
    "published_high": pa.float64(),
    "published_runs": pa.int64(),  # of which a number is the mean
    "source": pa.string(),
    "here": pa.float64(),  # mean over seeds; null: not run yet
    "low": pa.float64(),  # where a number is expected (see _RANGES), of a claim of the mean
    "high": pa.float64(),
    "least": pa.float64(),
    "most": pa.float64(),
    "seeds": pa.int64(),
    "agrees": pa.bool_(),  # null: cannot be told
}

_CONFIDENCE = 0.95

_RANGES = (
    "Ranges are 95% t intervals over seeds. Beside a number: where the mean of as many more seeds "
    "as were published is expected; it agrees if its own range reaches into ours. Beside a claim "
    "(> or <): of the mean; it agrees if the whole range lies on the side that is claimed, and "
    "does not if the whole range lies on the other."
)


def beside_published(
    experiment: Experiment, storage: Storage, run_ids: Collection[str]
) -> pd.DataFrame:
    """Compares each published number with that of a study.

    Args:
        experiment: what is compared.
        storage: where the study's runs are.
        run_ids: of the study's runs; others in the storage do not count.

    Returns:
        A row per published number: see `COLUMNS`.
    """

    def read(table: str) -> pd.DataFrame:
        rows = tables.read(storage, table)
        return rows[rows["run_id"].isin(run_ids)]

    rows = [_row(published, published.ours(read)) for published in experiment.published]
    return output.frame_of(rows, COLUMNS)


def _row(published: Published, by_seed: pd.Series[float]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "quantity": published.quantity,
        "published_low": published.low,
        "published_high": published.high,
        "published_runs": published.runs,
        "source": published.source,
        "seeds": 0,
    }
    values = by_seed[np.isfinite(by_seed)]
    if values.empty:
        return row
    row |= {
        "here": float(values.mean()),
        "least": float(values.min()),
        "most": float(values.max()),
        "seeds": len(values),
    }
    interval = interval_beside(published, values)
    if interval is None:
        return row
    low, high = interval
    return row | {"low": low, "high": high, "agrees": agrees(published, low, high)}


def interval_beside(published: Published, values: pd.Series[float]) -> tuple[float, float] | None:
    """Returns the range that is compared with a published number; None with one seed."""
    if not published.is_claim:
        return prediction_interval(values, _CONFIDENCE, more=published.runs)
    mean = mean_interval(values, _CONFIDENCE)
    return None if mean is None or mean.low is None or mean.high is None else (mean.low, mean.high)


def agrees(published: Published, low: float, high: float) -> bool | None:
    """Says whether a range of ours agrees with a published number; None: it cannot be told.

    A number agrees if its range and ours meet. A claim agrees if ours lies inside it, and does not
    if they do not meet.
    """
    meets = low <= published.high and published.low <= high
    if not published.is_claim:
        return meets
    is_inside = published.low < low and high < published.high
    return True if is_inside else None if meets else False


def show(
    console: Console,
    name: str,
    frame: pd.DataFrame,
    differing: str,
    *,
    is_full: bool,
    unasked: Collection[str],
) -> None:
    """Prints the table of numbers, their sources, and what differs from the publication.

    Args:
        console: where to print.
        name: the experiment's.
        frame: see `beside_published`.
        differing: the options in which the study differs from the experiment, as text.
        is_full: whether it has the published size.
        unasked: quantities for which it has no runs.
    """
    experiment = EXPERIMENTS[name]
    console.print(f"{name}: published, and found here", style="bold")
    console.print(f"{experiment.source}\n")
    table = plain_table(padding=1)
    table.add_column("", no_wrap=True)
    table.add_column("quantity", overflow="fold", ratio=1)
    for heading in ("published", "here", "range", "seeds", "agrees"):
        table.add_column(heading, no_wrap=True, justify="left" if heading == "agrees" else "right")
    rows = frame.to_dict("records")
    for number, row in enumerate(rows, start=1):
        table.add_row(
            str(number),
            row["quantity"],
            _published(row),
            *_ours(row, unasked),
            _verdict(row["agrees"]),
        )
    console.print(table)
    judged = frame["agrees"].dropna()
    console.print(
        f"\n{counted(len(frame), 'published number')}: {int(judged.sum())} agree, "
        f"{int((~judged.astype(bool)).sum())} do not, {len(frame) - len(judged)} cannot be told."
    )
    for number, row in enumerate(rows, start=1):
        console.print(f"{number}: {row['source']}.")
    for line in experiment.departures(is_full=is_full):
        console.print(f"{line}.")
    if differing:
        console.print(f"Given otherwise than in the experiment: {differing}.")
    least = int(frame["seeds"].min())
    few = f" {counted(least, 'seed')}: too few to rely on them." if least < ENOUGH_SEEDS else ""
    console.print(_RANGES + few)
    console.print()


def _published(row: dict[Any, Any]) -> str:
    low, high = row["published_low"], row["published_high"]
    if math.isinf(high):
        return f"> {low:.4g}"
    if math.isinf(low):
        return f"< {high:.4g}"
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def _ours(row: dict[Any, Any], unasked: Collection[str]) -> Sequence[str]:
    if not row["seeds"]:
        return "not asked for" if row["quantity"] in unasked else "not run yet", "", "0"
    has_range = not pd.isna(row["low"])
    between = f"{row['low']:.4f} to {row['high']:.4f}" if has_range else "none"
    return f"{row['here']:.4f}", between, str(row["seeds"])


def _verdict(agreement: Any) -> str:
    return "?" if pd.isna(agreement) else "yes" if agreement else "no"


def compare(
    name: str,
    storage: Storage,
    run_ids: Collection[str],
    differing: str,
    *,
    is_full: bool,
    unasked: Collection[str],
) -> None:
    """Compares, prints and writes; see `beside_published` and `show`."""
    frame = beside_published(EXPERIMENTS[name], storage, run_ids)
    file = f"reproduction_{name}"
    output.write(storage, file, frame, COLUMNS)
    console = command.terminal()
    show(console, name, frame, differing, is_full=is_full, unasked=unasked)
    output.print_where(console, storage, file)
