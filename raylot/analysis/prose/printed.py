"""Prints one setting's figures, at most 80 columns wide: of the primary pair, and of another."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from raylot.analysis.output import plain_table
from raylot.analysis.primary import COUNTS_OF_P, Findings
from raylot.analysis.prose.answer import headings, lines
from raylot.analysis.statistics.coefficients import STATISTICS
from raylot.analysis.statistics.intervals import CENTERS, MANY_SEEDS, Center
from raylot.analysis.tables.measures import ALL_SHIFTS, measure
from raylot.analysis.tables.observations import Setting, groups, search_labels
from raylot.analysis.words import correlation, counted, p_value, without_zeros

#: What is said of the intervals where seeds were added until they were narrow.
_ON_ADDED_SEEDS = (
    f". Seeds were added until intervals were narrow: each p counts {COUNTS_OF_P} times, and "
    "intervals are as much wider as that takes (docs/method.md)"
)

#: Width of a column of the primary pair's table.
_COLUMN = 16


def print_setting(
    console: Console,
    setting: Setting,
    rows: pd.DataFrame,
    found: Findings,
    center: Center = CENTERS["mean"],
    explained: set[str] | None = None,
) -> None:
    """Prints the figures behind the answer, and the correlations of one pair with their notes.

    Args:
        console: where to.
        setting: what all of it is about.
        rows: of one pair, of `correlation.completed`.
        found: about the primary pair.
        center: mean or interquartile mean over seeds.
        explained: paragraphs that other settings have printed, which are not repeated; those that
            this one prints are added.
    """
    explained = set() if explained is None else explained
    console.print(setting.title, style="bold")
    if found.plasticity is not None:
        text = (
            f"Primary: changes are the {center.label} over seeds of the mean over later snapshots "
            f"minus the first, with {100 * found.confidence:g}% t intervals. The link is the "
            "correlation left after removing stream and task effects, with jackknife interval over "
            "seeds; its p permutes seeds, and is corrected for all shifts and sparsities (Holm)"
            + (f" and {found.settings} settings (Bonferroni)" if found.settings > 1 else "")
            + (_ON_ADDED_SEEDS if found.adds_seeds else "")
        )
        _explain(console, text, "Primary", explained)
        console.print(_primary(found))
        console.print()
    pair = rows.iloc[0]
    tickets, plasticity = measure(pair["ticket_measure"]), measure(pair["plasticity_measure"])
    kind = "Exploratory: correlation" if pair["exploratory"] else "Correlation"
    pair_of_measures = f"{kind} of {tickets.label} with {plasticity.label}"
    text = (
        f"{pair_of_measures}, with {100 * found.confidence:g}% "
        "bootstrap interval over seeds, and p of a t test over seeds, corrected for "
        f"{rows['tests'].max()} tests (Benjamini-Hochberg). A bend that all seeds share makes any "
        "two measures correlate in all these ways"
    )
    _explain(console, text, pair_of_measures, explained)
    if (rows["pairing"] == "previous").any():
        console.print("Performance is that on the task before each snapshot's.\n")
    console.print(_table(rows))
    for note, places in _notes(rows).items():
        console.print(f"- {note}: {places}")
    console.print(f"\n{winners(setting.frame, center)}")
    console.print(f"\n{of_untrained(setting.frame, center)}")
    console.print()
    if (text := _reading(found.seeds, center)) not in explained:
        explained.add(text)
        console.print(f"{text}\n")


def _explain(console: Console, text: str, heading: str, explained: set[str]) -> None:
    """Prints a paragraph above a table; if it has been printed before, its heading alone."""
    console.print(f"{heading} (explained above)\n" if text in explained else f"{text}\n")
    explained.add(text)


def cell(row: Mapping[Any, Any]) -> str:
    """``-.77``, ``[-.90, -.51]`` and ``p .012`` below each other; only what exists."""
    if pd.isna(row["estimate"]):
        return "none"
    lines = [correlation(row["estimate"])]
    if not pd.isna(row["low"]):
        lines.append(f"[{correlation(row['low'])}, {correlation(row['high'])}]")
    if not pd.isna(row["p_corrected"]):
        lines.append(p_value(row["p_corrected"]))
    return "\n".join(lines)


def _primary(found: Findings) -> Table:
    """A line per shift and sparsity, an interval below its figure."""
    table = plain_table(*(fill(heading, _COLUMN) for heading in headings(found)), padding=1)
    for place, *cells in lines(found):
        table.add_row(fill(place, _COLUMN), *map(_below_each_other, cells))
    return table


def _below_each_other(cell: str) -> str:
    """``+.040``, ``[+.029, +.051]`` and ``p .150``, each on a line."""
    return without_zeros(cell.replace(" [", "\n[").replace("] p", "]\np"))


def _reading(seeds: int, center: Center) -> str:
    """Explains the intervals, and their limits."""
    text = (
        "Intervals: of correlations by bootstrap over seeds; of changes along the stream, "
        f"t intervals of the {center.label} over seeds. Another kind of "
        "processor rounds differently, which moves results as other seeds would."
    )
    if 1 < seeds < MANY_SEEDS:
        text += f" With {seeds} seeds a bootstrap interval comes out too narrow."
    return text


def winners(frame: pd.DataFrame, center: Center = CENTERS["mean"]) -> str:
    """Says how many of the distinct tickets win, as a count of losing masks says little."""
    return (
        "Tickets are counted whether they win or not. Distinct ones that win, "
        f"{center.label} over seeds: {_first_and_last(frame, 'winning_ticket_count', center)}."
    )


def of_untrained(frame: pd.DataFrame, center: Center = CENTERS["mean"]) -> str:
    """Says how much of the tickets' masks the snapshot's own magnitudes decide."""
    return (
        "Tickets overlap the mask of the snapshot's largest weights, without training, by "
        f"{_first_and_last(frame, 'overlap_untrained', center)}. Their overlap with each other "
        f"beyond that: {_first_and_last(frame, 'overlap_beyond_untrained', center)}."
    )


def _first_and_last(frame: pd.DataFrame, column: str, center: Center) -> str:
    """Lists a measure at the first and last snapshot of each shift and sparsity."""
    parts = []
    for (shift, sparsity, _), part in groups(frame, with_all_shifts=False):
        found = {str(task): center.of(own, 0.95) for task, own in part.groupby("task")[column]}
        means = [(task, mean.mean) for task, mean in found.items() if mean is not None]
        if means:
            ends = dict([means[0], means[-1]])
            span = ", ".join(f"{mean:.2g} at task {task}" for task, mean in ends.items())
            parts.append(f"{shift} at sparsity {sparsity:g}: {span}")
    return "; ".join(parts) or "not known"


def _table(rows: pd.DataFrame) -> Table:
    table = plain_table(padding=1)
    table.add_column("shift\nsparsity\nseeds", overflow="fold")
    for statistic in STATISTICS.values():
        table.add_column(statistic.label.replace(" ", "\n", 1), no_wrap=True)
    for shift, search, part in _by_group(rows):
        cells = {row["statistic"]: row for row in part.to_dict("records")}
        place = [shift, search.removeprefix("sparsity "), counted(int(part["seeds"].max()), "seed")]
        table.add_row("\n".join(place), *(cell(cells[name]) for name in STATISTICS))
    return table


def _notes(rows: pd.DataFrame) -> dict[str, str]:
    """Maps each note to the places that it is about."""
    places: dict[str, list[str]] = {}
    for shift, search, part in _by_group(rows):
        noted: dict[str, list[str]] = {}
        for row in part.to_dict("records"):
            for note in filter(None, row["note"].split("; ")):
                noted.setdefault(note, []).append(STATISTICS[row["statistic"]].label)
        for note, statistics in noted.items():
            every = len(statistics) == len(STATISTICS)
            of = "" if every else f" ({', '.join(statistics)})"
            places.setdefault(note, []).append(f"{shift} at {search}{of}")
    return {note: "; ".join(where) for note, where in places.items()}


def _by_group(rows: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Returns each group's shift and search in words, and its rows, in the order of the rows."""
    labels = search_labels(rows)
    parts = sorted(groups(rows, with_all_shifts=False), key=lambda group: group[1].index[0])
    return [
        ("all shifts" if shift == ALL_SHIFTS else shift, labels[sparsity, rounds], part)
        for (shift, sparsity, rounds), part in parts
    ]
