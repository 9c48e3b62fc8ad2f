"""What a published experiment is: a study, and published numbers with how to read ours."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

#: Returns the rows of a table, by its name, of the runs of one study.
Read = Callable[[str], pd.DataFrame]

#: Finds a quantity in a study's rows: a value per seed, with the seeds as index.
Reading = Callable[[Read], "pd.Series[float]"]

#: Begins the source of a number that nobody has compared with its source again.
FROM_MEMORY = "as remembered, not checked"


@dataclass(frozen=True)
class Published:
    """A published number, or a claim that a quantity lies above or below one.

    Attributes:
        quantity: what it is about, in words.
        ours: finds it among our rows.
        low, high: the published range, in the unit of ``ours``; both the same for a number without
            a range. A claim has an infinite bound: "the ticket is better than the dense network"
            is a difference in (0, inf).
        source: where it is published, and how it was read there.
        runs: of how many the number is the mean.
    """

    quantity: str
    ours: Reading
    low: float
    high: float
    source: str
    runs: int = 1

    @property
    def is_claim(self) -> bool:
        """Whether the number says only on which side of a bound the quantity lies."""
        return math.isinf(self.low) or math.isinf(self.high)


@dataclass(frozen=True)
class Experiment:
    """A published experiment as an ordinary study.

    Attributes:
        question: what it asks, in one line.
        source: the publication.
        options: of the study, beside the preset ``default``: small enough for two CPU cores.
        full: options that differ in the size that was published.
        reduced: what ``options`` have smaller than published, and ``full`` does not.
        otherwise: what neither ``options`` nor ``full`` have as published.
        stages: which stages of a sweep are computed.
        measured: what a run took, and where.
        published: the numbers to compare with.
    """

    question: str
    source: str
    options: Mapping[str, Any]
    reduced: str
    measured: str
    published: Sequence[Published]
    stages: Sequence[str] = ("streams",)
    full: Mapping[str, Any] = field(default_factory=dict)
    otherwise: str = ""

    def departures(self, *, is_full: bool = False) -> list[str]:
        """Says in a line each what is reduced, if the size is not ``full``, and what else differs
        from the publication."""
        lines = []
        if not is_full:
            remark = " (--full: published size)" if self.full else ""
            lines.append(f"Reduced: {self.reduced}{remark}")
        if self.otherwise:
            lines.append(f"Otherwise than published: {self.otherwise}")
        return lines


def number(
    quantity: str, ours: Reading, value: float, source: str, spread: float = 0.0, runs: int = 1
) -> Published:
    """A number, with what is published behind its plus-minus sign or can be read off a plot, and
    the number of runs of which it is the mean."""
    return Published(quantity, ours, value - spread, value + spread, source, runs)


def below(quantity: str, ours: Reading, source: str, bound: float = 0.0) -> Published:
    """The claim that a quantity lies below a bound."""
    return Published(quantity, ours, -math.inf, bound, source)


def above(quantity: str, ours: Reading, source: str, bound: float = 0.0) -> Published:
    """The claim that a quantity, often a difference, lies above a bound."""
    return Published(quantity, ours, bound, math.inf, source)
