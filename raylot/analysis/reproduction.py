"""Lays what a storage holds of the original study's protocol beside its published numbers.

Works with any part of the preset original, one seed or many. Writes
STORAGE/analysis/reproduction.csv and .parquet; prints which published numbers lie in the range in
which one more run would be expected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from raylot.analysis import command, output
from raylot.analysis.output import plain_table
from raylot.analysis.statistics.spread import (
    NEIGHBOURS,
    correlation_interval,
    neighbours_interval,
    prediction_interval,
)
from raylot.analysis.tables.original import OriginalRows, original_rows
from raylot.analysis.tables.published import (
    ACCURACY,
    OVERLAP,
    PAIRED,
    PUBLISHED,
    QUANTITIES,
    RANDOM_DENSITY,
    RANDOM_MASKS,
    SHIFTED,
    TICKETS,
    OriginalNumber,
)
from raylot.analysis.words import capitalised, counted
from raylot.config.options import option
from raylot.foundation.names import ENOUGH_SEEDS
from raylot.storage import Storage

COLUMNS: dict[str, pa.DataType] = {
    "quantity": pa.string(),
    "task": pa.int64(),  # null: along the stream
    "sparsity": pa.float64(),  # null: the dense network
    "published": pa.float64(),
    "published_spread": pa.float64(),
    "here": pa.float64(),  # mean over seeds, each with its own mean; null: not run yet
    "difference": pa.float64(),  # here - published
    "low": pa.float64(),  # range of one more value
    "high": pa.float64(),
    "within": pa.bool_(),  # whether published lies in that range
    "range_over": pa.string(),  # what the range was judged by: see RANGES
    "least": pa.float64(),
    "most": pa.float64(),
    "seeds": pa.int64(),
    "observations": pa.int64(),  # of all seeds: tickets, pairs, snapshots, tasks
    "observed": pa.string(),
    "note": pa.string(),
}

#: What a range was judged by, and what that means.
RANGES: dict[str, str] = {
    "seeds": "where one more run is expected (t prediction interval over seeds)",
    "tickets": (
        "of one run, where one more ticket, or pair of tickets, is expected; runs may differ more"
    ),
    "neighbours": (
        f"of one run, as far as neighbouring tasks (up to {NEIGHBOURS} on either side) lie apart; "
        "runs may differ more"
    ),
    "snapshots": (
        "of one run, where a second run's correlation is expected if snapshots did not depend on "
        "each other; those of a stream do, and runs may differ more"
    ),
}


_BOUNDS = dict.fromkeys(QUANTITIES, (0.0, 1.0)) | dict.fromkeys((PAIRED, SHIFTED), (-1.0, 1.0))


class ReproductionOptions(command.StorageOptions):
    """The options of this analysis."""

    confidence: float = option(0.95, "confidence of the ranges", gt=0, lt=1, role="verdict")


@dataclass(frozen=True)
class Observed:
    """A storage's observations of one published number.

    Attributes:
        values: the observations, with their seeds as index, all finite.
        noun: what one of them is.
        interval: confidence -> the range of one more value, from a single seed's observations.
        judged_by: what that range rests on, one of `RANGES`; empty without a range.
        note: what to know about them.
        count: how many observations, if one value stands for several.
    """

    values: pd.Series[float]
    noun: str
    interval: Callable[[float], tuple[float, float] | None]
    judged_by: str
    note: str = ""
    count: int | None = None


# ------------------------------------------------------------------ what a storage holds


def accuracy(rows: OriginalRows, published: OriginalNumber) -> Observed:
    """Test accuracy of the streams after one task."""
    finite = rows.tasks[np.isfinite(rows.tasks["test_accuracy"])]
    values = finite[finite["task"] == published.task].set_index("seed")["test_accuracy"]
    stream = finite[finite["seed"].isin(values.index)].set_index("task")["test_accuracy"]
    interval = partial(neighbours_interval, stream, published.task or 0)
    return Observed(values, "task", interval, "neighbours")


def overlap(rows: OriginalRows, published: OriginalNumber) -> Observed:
    """Overlap of each pair of tickets."""
    own = _at(rows.overlaps, published)
    tickets = len(set(own["ticket_a"]) | set(own["ticket_b"]))
    return _of_tickets(own.set_index("seed")["jaccard"], "pair", tickets)


def ticket_accuracy(rows: OriginalRows, published: OriginalNumber) -> Observed:
    """Test accuracy of each ticket."""
    own = _at(rows.tickets[rows.tickets["control"] == "ticket"], published)
    return _of_tickets(own.set_index("seed")["test_accuracy"], "ticket")


def random_accuracy(rows: OriginalRows, published: OriginalNumber) -> Observed:
    """Test accuracy of each random mask: the original's own kind if there is any, else masks with
    the layer densities of equally sparse tickets."""
    masks = rows.tickets[rows.tickets["control"] == "random"]
    independent = masks[masks["random_density"] == RANDOM_DENSITY]
    own = independent[independent["task"] == published.task].drop_duplicates(["seed", "ticket"])
    note = f"random masks keep each weight with probability {RANDOM_DENSITY:g}, as the original's"
    if own.empty:
        own = _at(masks[masks["random_density"].isna()], published)
        note = (
            "random masks have the layer densities of the tickets at this sparsity; the "
            f"original's keep each weight with probability {RANDOM_DENSITY:g}"
        )
    return _of_tickets(own.set_index("seed")["test_accuracy"], "mask", note=note)


def correlation(rows: OriginalRows, published: OriginalNumber, tasks_late: int = 0) -> Observed:
    """Pearson's correlation along each seed's stream, of mean pairwise overlap at a snapshot with
    test accuracy after the snapshot's task, or so many tasks before; a snapshot without such a task
    is left out."""
    own = rows.overlaps[np.isclose(rows.overlaps["sparsity"], published.sparsity or 0.0)]
    overlaps = own.groupby(["seed", "task"], as_index=False)["jaccard"].mean()
    performance = rows.tasks[["seed", "task", "test_accuracy"]]
    later = performance.assign(task=performance["task"] + tasks_late)
    pairs = overlaps.merge(later, on=["seed", "task"]).dropna()
    by_seed = {
        seed: part["jaccard"].corr(part["test_accuracy"])
        for seed, part in pairs.groupby("seed")
        if len(part) >= 3 and part[["jaccard", "test_accuracy"]].nunique().min() > 1
    }
    values = pd.Series(by_seed, dtype=float)
    snapshots = int(pairs["seed"].isin(values.index).sum())
    interval = partial(correlation_interval, float(values.mean()), snapshots)
    return Observed(values, "snapshot", interval, "snapshots", count=snapshots)


#: Quantity -> what finds it among a storage's rows.
FINDERS: dict[str, Callable[[OriginalRows, OriginalNumber], Observed]] = {
    ACCURACY: accuracy,
    OVERLAP: overlap,
    TICKETS: ticket_accuracy,
    RANDOM_MASKS: random_accuracy,
    PAIRED: correlation,
    SHIFTED: partial(correlation, tasks_late=1),
}


def _at(rows: pd.DataFrame, published: OriginalNumber) -> pd.DataFrame:
    same_task = rows["task"] == published.task
    return rows[same_task & np.isclose(rows["sparsity"], published.sparsity or 0.0)]


def _of_tickets(
    values: pd.Series[float], noun: str, independent: int | None = None, note: str = ""
) -> Observed:
    finite = values[np.isfinite(values)]
    interval = partial(prediction_interval, finite, independent=independent)
    return Observed(finite, noun, interval, "tickets", note)


# ------------------------------------------------------------------ beside the published numbers


def reproduce(rows: OriginalRows, confidence: float = 0.95) -> pd.DataFrame:
    """Compares every published number with the storage's own.

    A seed's own mean is one value. With several seeds, the range is the t prediction interval of
    one more seed; with one, it is judged by its tickets, by neighbouring tasks, or (a correlation)
    by the number of snapshots. Ranges end where the quantity does, as at an overlap of 1.

    Args:
        rows: of the original's protocol.
        confidence: of the ranges.

    Returns:
        A row per published number: see `COLUMNS`.
    """
    found = [_beside(one, FINDERS[one.quantity](rows, one), confidence) for one in PUBLISHED]
    return output.frame_of(found, COLUMNS)


def _beside(published: OriginalNumber, observed: Observed, confidence: float) -> dict[str, Any]:
    row: dict[str, Any] = {
        "quantity": published.quantity,
        "task": published.task,
        "sparsity": published.sparsity,
        "published": published.value,
        "published_spread": published.spread,
        "note": "not run yet",
    }
    values = observed.values
    if values.empty:
        return row
    by_seed = values.groupby(level=0).mean()
    several = len(by_seed) > 1
    spread = by_seed if several else values
    judge = partial(prediction_interval, by_seed) if several else observed.interval
    interval = judge(confidence)
    here = float(by_seed.mean())
    notes = [observed.note]
    if several and len(by_seed) < ENOUGH_SEEDS:
        notes.append(f"only {len(by_seed)} seeds, too few to rely on the range")
    if interval is None:
        notes.append("one run, no spread")
    else:
        low, high = np.clip(interval, *_BOUNDS[published.quantity]).tolist()
        row |= {"low": low, "high": high, "within": low <= published.value <= high}
        row["range_over"] = "seeds" if several else observed.judged_by
    return row | {
        "here": here,
        "difference": here - published.value,
        "least": float(spread.min()),
        "most": float(spread.max()),
        "seeds": len(by_seed),
        "observations": len(values) if observed.count is None else observed.count,
        "observed": observed.noun,
        "note": "; ".join(filter(None, notes)),
    }


# ------------------------------------------------------------------ on the terminal


def show(console: Console, frame: pd.DataFrame, notes: Sequence[str], confidence: float) -> None:
    """Prints the table of numbers, the meaning of the ranges, the notes, and what was not run
    yet."""
    done = frame[frame["here"].notna()]
    console.print("Published by the original study, and found here", style="bold")
    console.print()
    if not done.empty:
        console.print(_table(done, confidence))
    console.print(f"{_verdict(done)}\n")
    for name in done["range_over"].dropna().unique():
        judged = _places(done[done["range_over"] == name])
        console.print(f"- Range {RANGES[name]}: {judged}.")
    for note, part in done[done["note"] != ""].groupby("note", sort=False):
        console.print(f"- {capitalised(str(note))}: {_places(part)}.")
    for note in notes:
        console.print(f"- {note}")
    missing = frame[frame["here"].isna()]
    if not missing.empty:
        console.print(f"- Not run yet: {_places(missing)}.")
    console.print()


def _table(done: pd.DataFrame, confidence: float) -> Table:
    table = plain_table(padding=1)
    table.add_column("quantity", overflow="fold", width=15)
    interval = f"{100 * confidence:g}% range"
    for heading in ("task", "published", "here", interval, "from", "differs", "within"):
        is_number = heading in ("task", "published", "here", "differs")
        table.add_column(heading, justify="right" if is_number else "left", no_wrap=True)
    before = ""
    for row in done.to_dict("records"):
        name = _name(row)
        digits = 2 if row["quantity"] in (PAIRED, SHIFTED) else 3
        table.add_row(
            "" if name == before else name,
            "" if pd.isna(row["task"]) else str(row["task"]),
            _published(row, digits),
            f"{row['here']:.{digits}f}",
            "none"
            if pd.isna(row["low"])
            else f"[{row['low']:.{digits}f}, {row['high']:.{digits}f}]",
            _observations(row),
            f"{row['difference']:+z.{digits}f}",
            "?" if pd.isna(row["within"]) else "yes" if row["within"] else "no",
        )
        before = name
    return table


def _name(row: Any) -> str:
    name = QUANTITIES[row["quantity"]]
    return name if pd.isna(row["sparsity"]) else f"{name}, sparsity {row['sparsity']:g}"


def _published(row: Any, digits: int) -> str:
    text = f"{row['published']:.{digits}f}"
    if pd.isna(row["published_spread"]):
        return text
    return f"{text}\n±{row['published_spread']:.{digits}f}"


def _observations(row: Any) -> str:
    """``1 seed`` above ``10 pairs``."""
    text = counted(row["seeds"], "seed")
    if row["observations"] == row["seeds"]:
        return text
    return f"{text}\n{counted(row['observations'], row['observed'])}"


def _verdict(done: pd.DataFrame) -> str:
    judged = done[done["within"].notna()]
    inside = int(judged["within"].sum())
    text = f"{counted(len(done), 'published number')} can be compared"
    if judged.empty:
        return f"{text}; none has a range yet."
    outside = judged[~judged["within"].astype(bool)]
    sentence = f"{text}; within their range: {inside} of {len(judged)}"
    return f"{sentence}. Outside: {_places(outside)}." if len(outside) else f"{sentence}."


def _places(part: pd.DataFrame) -> str:
    """``test accuracy after the task (task 0, 50); ...``."""
    places: dict[str, list[str]] = {}
    for row in part.to_dict("records"):
        along_stream = pd.isna(row["task"])
        name = f"{QUANTITIES[row['quantity']]} (sparsity" if along_stream else f"{_name(row)} (task"
        place = f"{row['sparsity']:g}" if along_stream else str(row["task"])
        places.setdefault(name, []).append(place)
    return "; ".join(f"{name} {', '.join(at)})" for name, at in places.items())


def main(arguments: Sequence[str] | None = None) -> None:
    """Compares, prints and writes what the command line asks for."""
    options = command.parse(ReproductionOptions, __doc__, arguments)
    storage = Storage(options.storage)
    rows = original_rows(storage)
    frame = reproduce(rows, options.confidence)
    output.write(storage, "reproduction", frame, COLUMNS)
    console = command.terminal()
    show(console, frame, rows.notes, options.confidence)
    output.print_where(console, storage, "reproduction")
