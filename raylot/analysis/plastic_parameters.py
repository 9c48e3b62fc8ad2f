"""Are the most plastic weights the weights of the tickets?

Compares, from the table plastic_parameters, the weights with the largest mean |gradient| with the
first ticket, the union and the intersection of all tickets, each beside the overlap that chance
alone would give. Writes STORAGE/analysis/plastic_parameters.csv and .parquet with every snapshot
and layer; prints the whole network and the answer in words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
from rich.console import Console

from raylot.analysis import along_snapshots, command, output
from raylot.analysis.along_snapshots import searches
from raylot.analysis.output import plain_table, print_answers
from raylot.analysis.statistics.intervals import Mean, mean_interval
from raylot.analysis.tables import tables
from raylot.analysis.tables.judged_alike import of_usual_number
from raylot.analysis.tables.observations import (
    DOSE,
    PLACE,
    Observations,
    Setting,
    groups,
    label_variants,
    observe,
    settings,
)
from raylot.analysis.words import counted, figure, listed
from raylot.config.options import option
from raylot.foundation.errors import OptionError
from raylot.foundation.names import ENOUGH_SEEDS, WHOLE_NETWORK
from raylot.storage import Storage

_NAME = "plastic_parameters"

VALUES = ("jaccard", "chance", "corrected")

COLUMNS: dict[str, pa.DataType] = {
    **PLACE,
    "layer": pa.string(),  # all: the whole network
    "selection": pa.string(),  # first, union, intersection
    "snapshot": pa.int64(),  # its task; null: mean over all snapshots
    "seeds": pa.int64(),
    **{
        f"{value}{bound}": pa.float64()  # mean over seeds, and its t interval
        for value in VALUES
        for bound in ("", "_low", "_high")
    },
}

#: Selection -> what it is, in words.
SELECTIONS: dict[str, str] = {
    "first": "the first ticket",
    "union": "the union of all tickets",
    "intersection": "the intersection of all tickets",
}

#: What a chance-corrected overlap (0 is chance, 1 the same weights) clearly above 0 is called, up
#: to which size. The bounds are a convention, no finding.
DEGREES: tuple[tuple[float, str], ...] = (
    (0.1, "not the same weights, barely more in common than by chance"),
    (0.5, "partly the same weights, more in common than by chance"),
    (math.inf, "largely the same weights, far more in common than by chance"),
)


class PlasticParametersOptions(command.StorageOptions):
    """The options of this analysis."""

    confidence: float = option(0.95, "confidence of the intervals", gt=0, lt=1, role="verdict")


def measured(storage: Storage) -> list[Setting]:
    """Reads the rows of ``plastic_parameters``, and parts them into settings.

    Raises:
        OptionError: there are none.
    """
    rows = of_usual_number(tables.read(storage, "plastic_parameters"))
    if rows.empty:
        raise OptionError(
            f"storage={storage.root}: must be the folder or URI of a raylot storage that holds "
            "plastic parameters (tables/plastic_parameters has none)"
        )
    rows = label_variants(
        rows, tables.read(storage, "runs", ["run_id", "status", "plugins", *DOSE])
    )
    return settings(Observations(rows, [], [], observe(storage).options))


def compare(frame: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """Averages the overlap of plastic weights with tickets over seeds.

    Args:
        frame: rows of ``plastic_parameters`` of one setting.
        confidence: of the t intervals.

    Returns:
        A row per shift, sparsity, layer, selection and snapshot, and mean over snapshots: see
        `COLUMNS`.
    """
    rows: list[dict[str, Any]] = []
    for key, part in groups(frame, with_all_shifts=False):
        group = along_snapshots.place_of(key, part)
        for layer in sorted(part["layer"].unique(), key=lambda name: (name != WHOLE_NETWORK, name)):
            for selection in SELECTIONS:
                own = part[(part["layer"] == layer) & (part["selection"] == selection)]
                place = {"layer": layer, "selection": selection}
                for snapshot, values in along_snapshots.by_snapshot(own, "task", VALUES):
                    means = {name: mean_interval(values[name], confidence) for name in VALUES}
                    rows.append(group | place | {"snapshot": snapshot} | _columns(means))
    return output.frame_of(rows, COLUMNS)


def _columns(means: dict[str, Mean | None]) -> dict[str, Any]:
    columns: dict[str, Any] = {"seeds": max(mean.seeds if mean else 0 for mean in means.values())}
    for name, mean in means.items():
        if mean is not None:
            columns |= {name: mean.mean, f"{name}_low": mean.low, f"{name}_high": mean.high}
    return columns


# ------------------------------------------------------------------ in words


def answer(rows: pd.DataFrame) -> str:
    """Says in a paragraph per shift and sparsity whether the most plastic weights are the tickets',
    from one setting's rows of `compare`."""
    whole = rows[rows["layer"] == WHOLE_NETWORK]
    paragraphs = []
    for where, part in searches(whole):
        found = along_snapshots.overall(part)
        verdicts: dict[str, list[str]] = {}
        for row in found.to_dict("records"):
            corrected = _mean(row, "corrected")
            numbers = f"{SELECTIONS[row['selection']]} ({figure(corrected)})"
            verdicts.setdefault(verdict(corrected), []).append(numbers)
        seeds = counted(int(found["seeds"].max()), "seed")
        parts = [f"{what}: {listed(numbers)}" for what, numbers in verdicts.items()]
        paragraphs.append(f"{where} ({along_snapshots.place(part)}, {seeds}): {'; '.join(parts)}.")
    paragraphs.append(along_snapshots.too_few(int(whole["seeds"].min())))
    return "\n\n".join(filter(None, paragraphs))


def verdict(corrected: Mean | None) -> str:
    """Says what a chance-corrected overlap and its interval show, and no more."""
    if corrected is None:
        return "not known"
    if corrected.seeds < ENOUGH_SEEDS:
        if corrected.mean > 0:
            return "open, above chance but with too few seeds"
        return "not the same weights as far as so few seeds tell, no more in common than by chance"
    if corrected.direction < 0:
        return "not the same weights, less in common than by chance"
    if corrected.direction == 0:
        return "not the same weights as far as can be told, not clearly above chance"
    return next(text for size, text in DEGREES if corrected.mean <= size)


def _mean(row: Any, name: str) -> Mean | None:
    return along_snapshots.mean_of(row, name, f"{name}_")


def show(console: Console, setting: Setting, rows: pd.DataFrame, confidence: float) -> None:
    """Prints the whole network's overlaps at the first and last snapshot."""
    console.print(setting.title, style="bold")
    console.print(
        "Overlap of the most plastic weights with the tickets' weights (Jaccard index), with "
        f"{100 * confidence:g}% t intervals over seeds (not corrected for their number); "
        "corrected: 0 is chance, 1 the same weights"
    )
    for where, part in searches(rows[rows["layer"] == WHOLE_NETWORK]):
        console.print(f"\n{where}, {counted(int(part['seeds'].max()), 'seed')}")
        headings = ("snapshot", "tickets", "Jaccard", "chance", "corrected")
        table = plain_table(*headings, padding=1)
        for row in along_snapshots.shown(part).sort_values("snapshot").to_dict("records"):
            table.add_row(
                along_snapshots.snapshot_label(row["snapshot"]),
                row["selection"],
                figure(_mean(row, "jaccard"), "z.3f"),
                "none" if pd.isna(row["chance"]) else f"{row['chance']:.3f}",
                figure(_mean(row, "corrected")),
            )
        console.print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    """Compares, prints and writes what the command line asks for."""
    options = command.parse(PlasticParametersOptions, __doc__, arguments)
    storage = Storage(options.storage)
    compared = [(part, compare(part.frame, options.confidence)) for part in measured(storage)]
    output.write(storage, _NAME, pd.concat([rows for _, rows in compared]), COLUMNS)
    console = command.terminal()
    for setting, rows in compared:
        show(console, setting, rows, options.confidence)
    note = "in parentheses the overlap corrected for chance"
    answers = [(setting.title, answer(rows)) for setting, rows in compared]
    print_answers(console, answers, note)
    output.print_where(console, storage, _NAME)
