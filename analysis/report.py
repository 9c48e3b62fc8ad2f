"""Prints one setting's correlations as a table of at most 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from answer import answer
from coefficients import STATISTICS
from findings import findings
from headline import headline
from measures import ALL_SHIFTS, Measure, sparsity_label
from observations import Setting, groups, several_rounds
from rich.console import Console
from rich.table import Table


def print_setting(
    console: Console,
    setting: Setting,
    rows: pd.DataFrame,
    tickets: Measure,
    plasticity: Measure,
    confidence: float,
) -> None:
    """Prints heading, table, notes and the answer in words.

    Args:
        console: where to.
        setting: what the rows are about.
        rows: one pair's rows of `correlation.correlate`.
        tickets, plasticity: the pair.
        confidence: of the intervals.
    """
    console.print(setting.title, style="bold")
    console.print(
        f"Correlation of {tickets.label} with {plasticity.label}, with "
        f"{100 * confidence:g}% bootstrap interval over seeds\n"
    )
    with_rounds = several_rounds(setting.frame)
    console.print(_table(rows, with_rounds))
    for note, places in _notes(rows, with_rounds).items():
        console.print(f"- {note}: {places}")
    found = findings(setting.frame, rows, tickets, plasticity, confidence)
    about = (*found, tickets, plasticity, setting.frame["seed"].nunique(), confidence)
    console.print(f"\nAnswer: {headline(*about)}", style="bold")
    console.print(f"\n{answer(*about)}\n")
    console.print(f"{_winners(setting.frame)}\n")


def cell(row: Mapping[Any, Any]) -> str:
    """``-0.77`` above ``[-0.90, -0.51]``; only what exists."""
    if pd.isna(row["estimate"]):
        return "none"
    estimate = f"{row['estimate']:+.2f}"
    if pd.isna(row["low"]):
        return estimate
    return f"{estimate}\n[{row['low']:+.2f}, {row['high']:+.2f}]"


def _winners(frame: pd.DataFrame) -> str:
    """How many of the distinct tickets win: a count of masks that lose says little."""
    parts = []
    for (shift, sparsity, _), part in groups(frame, with_all_shifts=False):
        means = part.groupby("task")["winning_ticket_count"].mean().dropna()
        if len(means):
            span = f"{means.iloc[0]:.2g} at task {means.index[0]}"
            if len(means) > 1:
                span += f", {means.iloc[-1]:.2g} at task {means.index[-1]}"
            parts.append(f"{shift} at sparsity {sparsity:g}: {span}")
    listed = "; ".join(parts) or "not known"
    return f"Ticket count counts all tickets. Winning ones, distinct, mean over seeds: {listed}."


def _table(rows: pd.DataFrame, with_rounds: bool) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("shift\nsparsity, seeds", overflow="fold")
    for statistic in STATISTICS.values():
        table.add_column(statistic.label.replace(" ", "\n", 1), no_wrap=True)
    for place, part in _by_group(rows, with_rounds, "\n"):
        cells = {row["statistic"]: row for row in part.to_dict("records")}
        seeds = int(part["seeds"].max())
        count = f"{seeds} seed{'s' if seeds != 1 else ''}"
        table.add_row(f"{place}, {count}", *(cell(cells[name]) for name in STATISTICS))
    return table


def _notes(rows: pd.DataFrame, with_rounds: bool) -> dict[str, str]:
    """Each note that was made, and the places it is about."""
    places: dict[str, list[str]] = {}
    for place, part in _by_group(rows, with_rounds, " at sparsity "):
        noted: dict[str, list[str]] = {}
        for row in part.to_dict("records"):
            for note in filter(None, row["note"].split("; ")):
                noted.setdefault(note, []).append(STATISTICS[row["statistic"]].label)
        for note, statistics in noted.items():
            every = len(statistics) == len(STATISTICS)
            what = place if every else f"{place} ({', '.join(statistics)})"
            places.setdefault(note, []).append(what)
    return {note: "; ".join(where) for note, where in places.items()}


def _by_group(
    rows: pd.DataFrame, with_rounds: bool, separator: str
) -> list[tuple[str, pd.DataFrame]]:
    found = []
    for _, part in rows.groupby(["shift", "sparsity", "rounds"], dropna=False, sort=False):
        shift, sparsity, rounds = part[["shift", "sparsity", "rounds"]].iloc[0]
        shift_label = "all shifts" if shift == ALL_SHIFTS else str(shift)
        sparsity_text = sparsity_label(sparsity, rounds if with_rounds else None)
        found.append((f"{shift_label}{separator}{sparsity_text}", part))
    return found
