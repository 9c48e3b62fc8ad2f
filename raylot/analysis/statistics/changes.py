"""How a measure changes along a stream, seed by seed, and beside the control."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from raylot.analysis.statistics.intervals import Array, Center, Mean, t_quantile

#: Probability with which an effect is seen of which it is said that it could have been.
POWER = 0.8


def changes(panel: Array) -> Array:
    """The mean over a seed's later snapshots, minus its first one.

    Every later snapshot counts alike: neither does the last one decide, nor does a shape of the
    change have to be assumed, as the slope of a line does.

    Args:
        panel: shape (seeds, tasks); NaN where missing. The first column is the first snapshot.

    Returns:
        Shape (seeds,); NaN for a seed without the first or without a later snapshot.
    """
    later = panel[:, 1:]
    count = (~np.isnan(later)).sum(axis=1)
    means = np.nansum(later, axis=1) / np.where(count, count, np.nan)
    return np.asarray(means - panel[:, 0])


@dataclass(frozen=True)
class Comparison:
    """The change under a shift beside that in the control, paired over seeds.

    Attributes:
        difference: shift minus control.
        p_equivalent: of two one-sided tests that the control's change lies within the margin: the
            larger of the two.
        smallest: difference that a two-sided test on so many seeds, at the confidence of the
            interval, sees with probability `POWER`.
    """

    difference: Mean
    p_equivalent: float
    smallest: float


def compare(
    shift: Array,
    control: Array,
    within: tuple[float, float],
    center: Center,
    confidence: float = 0.95,
) -> Comparison | None:
    """Compares changes of the same seeds, of which both have every snapshot that counts.

    Whether the control's change lies between two multiples of the shift's (as 0.8 and 1.2) is
    asked of ``control - 0.8 shift`` and ``control - 1.2 shift``, a number per seed each. So the
    shift's change need not be known exactly, as in Fieller (1954). Two one-sided tests: Lakens
    (2017).

    Args:
        shift, control: panels, shape (seeds, tasks), of the same seeds and tasks.
        within: the two multiples.
        center: mean or interquartile mean over seeds.
        confidence: of the interval.

    Returns:
        None with fewer than two seeds that have both.
    """
    missing = np.isnan(shift) | np.isnan(control)
    own, other = (changes(np.where(missing, np.nan, panel)) for panel in (shift, control))
    difference = center.of(own - other, confidence)
    if difference is None or difference.error is None:
        return None
    low, high = within
    sides = (center.of(other - low * own, confidence), center.of(high * own - other, confidence))
    p = max(1.0 if side is None else _p(side) for side in sides)
    return Comparison(difference, p, _smallest(difference, confidence))


def _p(side: Mean) -> float:
    return 1.0 if side.p_above is None else side.p_above


def _smallest(difference: Mean, confidence: float) -> float:
    freedom, error = difference.freedom, difference.error or 0.0
    limit = t_quantile(confidence, freedom)
    return error * float(special.nctdtrinc(freedom, 1 - POWER, limit))
