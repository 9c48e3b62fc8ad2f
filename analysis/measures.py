"""What is correlated: every measure's name in words, and which way is up.

A metric that is not listed here is correlated all the same, under its own name and with no claim
about which way is up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pandas as pd


@dataclass(frozen=True)
class Measure:
    """A column that is correlated.

    Attributes:
        name: its column.
        label: its name in words, as in a sentence.
        unit: what an axis says about its unit; empty for a pure number.
        orientation: 1 if high means plastic (or many distinct tickets), -1 if high means that
            plasticity is lost (or few distinct tickets), 0 if neither is settled.
    """

    name: str
    label: str
    unit: str = ""
    orientation: Literal[-1, 0, 1] = 0

    @property
    def axis_label(self) -> str:
        text = self.label[0].upper() + self.label[1:]
        return f"{text} ({self.unit})" if self.unit else text


TICKET_MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("ticket_count", "ticket count", "effective number", 1),
        Measure("winning_ticket_count", "winning ticket count", "effective number", 1),
        Measure("overlap_mean", "mean pairwise overlap", "Jaccard index", -1),
    )
}

# Structural measures are oriented as the literature reads them (Dohare et al. 2024; Sokar et al.
# 2023; Kumar et al. 2021); what the gradient norm says about plasticity is not settled.
_PLASTICITY_MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("test_accuracy", "test accuracy", "fraction", 1),
        Measure("online_accuracy", "online accuracy", "fraction", 1),
        Measure("learning_speed", "learning speed", "normalised area", 1),
        Measure("trainability_gap", "trainability gap", "difference of accuracies", -1),
        Measure("dead_fraction", "dead units", "fraction", -1),
        Measure("dormant_fraction", "dormant units", "fraction", -1),
        Measure("effective_rank", "effective rank", "", 1),
        Measure("weight_norm", "weight norm", "", -1),
        Measure("weight_magnitude", "mean weight magnitude", "", -1),
        Measure("gradient_norm", "gradient norm", "", 0),
    )
}

STATIONARY = "stationary"
ALL_SHIFTS = "all"


def measure(name: str) -> Measure:
    """The measure of a column; an unlisted one gets its own name as label."""
    known = TICKET_MEASURES.get(name) or _PLASTICITY_MEASURES.get(name)
    return known or Measure(name, name.replace("_", " "))


def in_order(names: set[str]) -> list[str]:
    """Plasticity measures in the order in which they are listed here, then the others by name."""
    listed = [name for name in _PLASTICITY_MEASURES if name in names]
    return listed + sorted(names - set(listed))


def sparsity_label(sparsity: float, rounds: int | None) -> str:
    """``0.8``, or ``0.8 (3 rounds)`` where the number of rounds has to be told apart."""
    if rounds is None or pd.isna(rounds):
        return f"{sparsity:g}"
    return f"{sparsity:g} ({int(rounds)} round{'s' if rounds != 1 else ''})"
