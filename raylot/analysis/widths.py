"""How wide the intervals of the primary pair are, which decides whether seeds are added."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from raylot.analysis import primary
from raylot.analysis.statistics.intervals import Mean
from raylot.analysis.tables.observations import Setting, observe, settings
from raylot.foundation.names import FEWEST_SEEDS_TO_STOP
from raylot.storage import Storage


@dataclass(frozen=True)
class Widest:
    """The widest 95% interval of the primary pair's changes.

    Attributes:
        width: upper minus lower bound, in units of accuracy; inf if it is not known, or if the
            interval rests on fewer seeds than `FEWEST_SEEDS_TO_STOP`.
        of: what it is an interval of, in words.
    """

    width: float
    of: str


def widest(storage: Storage, run_ids: Collection[str]) -> Widest:
    """Returns the widest interval over all settings, streams and sparsities of some runs.

    Only runs of one sweep count, so that it stops where it would stop in an empty storage.

    Args:
        storage: where they have ended.
        run_ids: of its streams, probe tasks and ticket searches.

    Raises:
        OptionError: no ticket search has ended in the storage.
    """
    observed = observe(storage)
    frame, runs = (part[part["run_id"].isin(run_ids)] for part in (observed.frame, observed.runs))
    return widest_of(settings(replace(observed, frame=frame, runs=runs, adds_seeds=True)))


def widest_of(parts: Sequence[Setting]) -> Widest:
    """Returns the widest interval over settings."""
    found = []
    for part in parts:
        told = f" ({part.title})" if len(parts) > 1 else ""
        known = primary.intervals(part) or {"both measures": None}
        found += [Widest(_width(mean), f"{of}{told}") for of, mean in known.items()]
    return max(found, key=lambda one: one.width, default=Widest(math.inf, "both measures"))


def _width(mean: Mean | None) -> float:
    if mean is None or mean.low is None or mean.high is None or mean.seeds < FEWEST_SEEDS_TO_STOP:
        return math.inf
    return mean.high - mean.low
