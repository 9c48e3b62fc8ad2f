"""What the primary pair's p-values allow to be said; nothing is said because a test found nothing.

Each kind of statement is a family of its own, corrected (Holm) for the shifts and sparsities about
which it is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from raylot.analysis.statistics.changes import Comparison
from raylot.analysis.statistics.intervals import Mean
from raylot.analysis.statistics.link import Link
from raylot.analysis.statistics.significance import corrected
from raylot.foundation.names import ENOUGH_SEEDS

Key = TypeVar("Key")

#: How a measure changes along a stream.
Change = Literal["worse", "better", "cannot tell"]

#: A shift's change beside the control's: clearly more, clearly less, the same within the margin.
Against = Literal["more", "less", "equivalent", "inconclusive"]

#: What became of the control's plasticity: ``kept`` is no change within the margin of the shift's.
Kept = Literal["kept", "lost", "cannot tell"]

#: Whether two measures get worse together, beyond the changes that all seeds share.
Linked = Literal["linked", "opposite", "cannot tell"]


@dataclass(frozen=True)
class Verdicts:
    """What can be said of one shift at one sparsity.

    Attributes:
        plasticity, tickets: how they change along the stream.
        against_control: the tickets' change beside the control's; None without a control.
        control: what became of the control's plasticity; None without a control.
        link: between the two.
    """

    plasticity: Change
    tickets: Change
    against_control: Against | None
    control: Kept | None
    link: Linked


def holm(p: Mapping[Key, float | None]) -> dict[Key, float]:
    """p-values corrected for their number; those that do not exist are 1, and not counted."""
    given = np.array([np.nan if value is None else value for value in p.values()], dtype=float)
    found = np.nan_to_num(corrected(given, "holm"), nan=1.0)
    return dict(zip(p, found.tolist(), strict=True))


def of_changes(found: Mapping[Key, Mean | None], alpha: float) -> dict[Key, Change]:
    """Says how a measure changes that is worse where it is higher.

    Args:
        found: its changes.
        alpha: of a two-sided test.
    """
    p = holm({key: _p(mean) for key, mean in found.items()})
    return {key: _change(mean, p[key] <= alpha) for key, mean in found.items()}


def _p(mean: Mean | None) -> float | None:
    """None with too few seeds to tell anything."""
    return mean.p if mean is not None and mean.seeds >= ENOUGH_SEEDS else None


def _change(mean: Mean | None, sure: bool) -> Change:
    if mean is None or not sure:
        return "cannot tell"
    return "worse" if mean.mean > 0 else "better"


def of_links(found: Mapping[Key, Link], p: Mapping[Key, float], alpha: float) -> dict[Key, Linked]:
    """Says whether two measures are linked, given the corrected p-values."""
    return {key: _linked(link, p[key] <= alpha) for key, link in found.items()}


def _linked(link: Link, sure: bool) -> Linked:
    if link.r is None or not sure:
        return "cannot tell"
    return "linked" if link.r > 0 else "opposite"


def against_control(
    found: Mapping[Key, Comparison | None], alpha: float
) -> dict[Key, Against | None]:
    """Says how a change differs from the control's.

    A change that is the same within the margin is called so even if it is not quite the same.
    """
    usable = {key: one if _is_enough(one) else None for key, one in found.items()}
    p_same = holm({key: one.p_equivalent if one else None for key, one in usable.items()})
    p_other = holm({key: one.difference.p if one else None for key, one in usable.items()})
    verdicts: dict[Key, Against | None] = {}
    for key, one in found.items():
        if one is None:
            verdicts[key] = None
        elif p_same[key] <= alpha:
            verdicts[key] = "equivalent"
        elif p_other[key] <= alpha:
            verdicts[key] = "more" if one.difference.mean > 0 else "less"
        else:
            verdicts[key] = "inconclusive"
    return verdicts


def _is_enough(one: Comparison | None) -> bool:
    return one is not None and one.difference.seeds >= ENOUGH_SEEDS


def control(
    lost: Mean | None, found: Mapping[Key, Comparison | None], alpha: float
) -> dict[Key, Kept | None]:
    """Says whether the control lost plasticity.

    Args:
        lost: its loss.
        found: the comparison of that with each shift's loss.
        alpha: of the tests.
    """
    p = holm({key: one.p_equivalent if one and _is_enough(one) else None
              for key, one in found.items()})  # fmt: skip
    is_lost = of_changes({"control": lost}, alpha)["control"] == "worse"
    verdicts: dict[Key, Kept | None] = {}
    for key, one in found.items():
        if one is None:
            verdicts[key] = None
        elif p[key] <= alpha:
            verdicts[key] = "kept"
        else:
            verdicts[key] = "lost" if is_lost else "cannot tell"
    return verdicts
