"""Finds trends, and the links between them, before other modules put them into words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from raylot.analysis.statistics.intervals import CENTERS, ENOUGH_SEEDS, Center, Mean
from raylot.analysis.statistics.trends import Change, change
from raylot.analysis.tables.measures import STATIONARY, Measure
from raylot.analysis.tables.observations import groups, search_labels
from raylot.analysis.words import p_value

#: From this share of a measure's total change on, one step counts as nearly all of it.
_NEARLY_ALL = 0.8


@dataclass(frozen=True)
class Search:
    """The findings at one sparsity of one shift.

    Attributes:
        place: ``sparsity 0.8``.
        tickets: how the ticket measure changed along the stream.
        control: how it changed in the same search of the stationary control.
        rows: statistic -> its row of `correlation.completed`.
        confidence: of the rows' intervals.
        in_one_step: whether nearly all that both measures changed, they changed between the same
            two snapshots. Then any two measures correlate by every statistic.
    """

    place: str
    tickets: Change | None
    control: Change | None
    rows: Mapping[str, Mapping[Any, Any]]
    confidence: float
    in_one_step: bool = False

    def beyond_control(self) -> Mean | None:
        """How much more tickets changed than in the control; None if that is not known."""
        if self.tickets is None or self.control is None:
            return None
        return self.tickets.minus(self.control, self.confidence)

    def sign(self, statistic: str) -> int:
        """1 or -1 if the interval lies wholly above or below 0, rests on enough seeds, and the
        corrected p agrees (a bootstrap interval over few seeds is too narrow); or 0."""
        row = self.rows[statistic]
        if not self.sure(statistic) or row["p_corrected"] >= 1 - self.confidence:
            return 0
        return int(row["low"] > 0) - int(row["high"] < 0)

    def exists(self, statistic: str) -> bool:
        return not pd.isna(self.rows[statistic]["estimate"])

    def sure(self, statistic: str) -> bool:
        """Whether its interval exists and rests on enough seeds to conclude anything."""
        row = self.rows[statistic]
        return not pd.isna(row["low"]) and row["seeds"] >= ENOUGH_SEEDS

    def figure(self, statistic: str) -> str:
        row = self.rows[statistic]
        if pd.isna(row["estimate"]):
            return f"not computable ({row['note'].split('; ')[0]})"
        if pd.isna(row["low"]):
            return f"{row['estimate']:+.2f} (no interval)"
        text = f"{row['estimate']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]"
        return text if pd.isna(row["p_corrected"]) else f"{text} {p_value(row['p_corrected'])}"


@dataclass(frozen=True)
class ShiftFindings:
    """The findings under one shift.

    Attributes:
        shift: its name.
        plasticity: how the plasticity measure changed along the stream; None if it cannot be told.
        searches: one per sparsity.
    """

    shift: str
    plasticity: Change | None
    searches: Sequence[Search]


@dataclass(frozen=True)
class Findings:
    """The findings in one setting about one pair of measures.

    Attributes:
        shifts: under each shift that changes the task.
        control: in the stationary control, if there is one.
        tickets, plasticity: the pair of measures.
        seeds: seeds in the whole setting.
        confidence: of the intervals.
    """

    shifts: Sequence[ShiftFindings]
    control: ShiftFindings | None
    tickets: Measure
    plasticity: Measure
    seeds: int
    confidence: float


def findings(
    frame: pd.DataFrame,
    rows: pd.DataFrame,
    tickets: Measure,
    plasticity: Measure,
    confidence: float = 0.95,
    center: Center = CENTERS["mean"],
) -> Findings:
    """Finds how both measures changed under each shift, and whether they are linked.

    Args:
        frame: observations of one setting.
        rows: its correlations of this pair of measures, from `correlation.completed`.
        tickets, plasticity: the pair.
        confidence, center: of the changes over seeds and their intervals.
    """
    seeds = int(frame["seed"].nunique())
    # the performance on the task before has no value at task 0: both trends start where it begins
    measured = frame.loc[np.isfinite(frame[plasticity.name].astype(float)), "task"]
    frame = frame[frame["task"] >= measured.min()] if len(measured) else frame
    parts = dict(groups(frame, with_all_shifts=False))
    tested = dict(groups(rows, with_all_shifts=False))
    changes = {key: change(part, tickets.name, confidence, center) for key, part in parts.items()}
    labels = search_labels(frame)
    searches: dict[str, list[Search]] = {shift: [] for shift in sorted(frame["shift"].unique())}
    for (shift, sparsity, rounds), part in parts.items():
        search = Search(
            labels[sparsity, rounds],
            changes[shift, sparsity, rounds],
            changes.get((STATIONARY, sparsity, rounds)),
            {row["statistic"]: row for row in tested[shift, sparsity, rounds].to_dict("records")},
            confidence,
            _in_one_step(part, [tickets.name, plasticity.name]),
        )
        searches[shift].append(search)
    found = {}
    for shift, own in searches.items():
        lost = change(frame[frame["shift"] == shift], plasticity.name, confidence, center)
        found[shift] = ShiftFindings(shift, lost, own)
    control = found.pop(STATIONARY, None)
    return Findings(list(found.values()), control, tickets, plasticity, seeds, confidence)


def direction(found: Change | None, measure: Measure) -> int | None:
    """1 if the change is clearly for the better, -1 for the worse, 0 neither; None: unknown."""
    if found is None or found.change.seeds < ENOUGH_SEEDS:
        return None
    return found.change.direction * measure.orientation


def _in_one_step(frame: pd.DataFrame, columns: list[str]) -> bool:
    """Judges means over seeds; False for two snapshots, whose only step says nothing."""
    steps = frame.groupby("task")[columns].mean().dropna().diff().abs().iloc[1:]
    total = steps.sum()
    if len(steps) < 2 or not (total > 0).all():
        return False
    shares = steps / total
    return bool((shares.max() > _NEARLY_ALL).all() and shares.idxmax().nunique() == 1)
