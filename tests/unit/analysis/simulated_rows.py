"""Kinds of simulated studies: which claims are false in each, and how often they may be made."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from scipy import stats

from tests.unit.analysis.simulation import Adding, World

LINKED, OPPOSITE = "link linked", "link opposite"
LOST, GREW = "plasticity gets worse", "plasticity gets better"
FEWER, MORE_TICKETS = "tickets get worse", "tickets get better"
MORE, LESS, SAME = "tickets more", "tickets less", "tickets equivalent"
KEPT, CONTROL_LOST = "control kept", "control lost"

NO_LINK = (LINKED, OPPOSITE)
NO_DIFFERENCE = (MORE, LESS)


@dataclass(frozen=True)
class Row:
    """A kind of study.

    Attributes:
        name: of it.
        world: what is true there.
        false: alternatives that are tested together; none of each is true.
        power: claims that are true.
        adding: a rule that adds seeds until intervals are narrow; None: all seeds are used.
    """

    name: str
    world: World
    false: tuple[tuple[str, ...], ...]
    power: tuple[str, ...] = ()
    adding: Adding | None = None


def too_many(studies: int, level: float = 1e-4) -> int:
    """The count that claims made 5% of the time exceed with this probability."""
    return int(stats.binom.isf(level, studies, 0.05))


def count(found: Counter[str], alternatives: tuple[str, ...]) -> int:
    """In how many studies one of some alternatives was claimed, of which each makes one at most."""
    return sum(found[claim] for claim in alternatives)
