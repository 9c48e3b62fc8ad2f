"""Which comes first: does plasticity predict the tickets of the next snapshot, or the reverse?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from raylot.analysis.doses.jackknife import jackknife
from raylot.analysis.statistics.intervals import Array, Mean
from raylot.analysis.words import listed
from raylot.foundation.names import ENOUGH_SEEDS

#: With fewer snapshots, taking out stream effects biases the terms as much as they are large.
LEAST_SNAPSHOTS = 8

TERMS = ("plasticity predicts tickets", "tickets predict plasticity")


@dataclass(frozen=True)
class CrossLagged:
    """Standardised cross-lagged terms.

    Attributes:
        terms: see `TERMS`; each beyond what the predicted measure says of itself one snapshot
            before; empty after a problem.
        problem: why there are none.
    """

    terms: Mapping[str, Mean] = field(default_factory=dict)
    problem: str = ""


def cross_lagged(
    plasticity: Array, tickets: Array, tasks: Sequence[int], confidence: float = 0.95
) -> CrossLagged:
    """Computes both cross-lagged terms, with jackknife intervals over seeds.

    Stream effects and each dose's own task effects are taken out: trajectories that doses share
    over seeds, as when both measures fall, say nothing about which comes first. Means of a short
    series that are taken out bias a lagged term by about one over its length (Nickell 1981); the
    half-panel jackknife (Dhaene & Jochmans 2015) removes that.

    Args:
        plasticity, tickets: shape (seeds, doses, snapshots); NaN where a value is missing. A dose
            that no more than half of the seeds have is left out, then a seed that lacks a dose.
        tasks: of the snapshots, which must be evenly spaced: a lag is one snapshot.
        confidence: of the intervals.
    """
    snapshots = plasticity.shape[-1]
    if snapshots < LEAST_SNAPSHOTS:
        return CrossLagged(
            problem=f"{LEAST_SNAPSHOTS} snapshots after task 0 are needed, here are {snapshots}"
        )
    if len(steps := sorted({int(step) for step in np.diff(tasks)})) > 1:
        apart = listed([str(step) for step in steps])
        return CrossLagged(
            problem=f"snapshots must be evenly spaced, these are {apart} tasks apart"
        )
    known = np.asarray(np.isfinite(plasticity + tickets).all(axis=-1))
    doses = known.sum(axis=0) > len(known) / 2
    seeds = np.flatnonzero(known[:, doses].all(axis=1))
    if not doses.any() or len(seeds) < ENOUGH_SEEDS:
        return CrossLagged(problem=f"fewer than {ENOUGH_SEEDS} seeds have all of their values")
    x, y = plasticity[:, doses], tickets[:, doses]
    found = jackknife([int(s) for s in seeds], lambda some: _terms(x[some], y[some]), confidence)
    if len(found) < len(TERMS):
        return CrossLagged(problem="a measure does not vary within its streams")
    return CrossLagged(dict(zip(TERMS, found, strict=True)))


def _terms(x: Array, y: Array) -> Array:
    half = x.shape[-1] // 2
    parts = [
        _biased(a, b) for a, b in ((x[..., :half], y[..., :half]), (x[..., half:], y[..., half:]))
    ]
    return np.asarray(2 * _biased(x, y) - np.mean(parts, axis=0))


def _biased(x: Array, y: Array) -> Array:
    """Both terms by least squares: the second of (own lag, other's lag)."""
    lags = [_within(values[..., :-1]) for values in (x, y)]
    leads = [_within(values[..., 1:]) for values in (x, y)]
    spread_x, spread_y = (float(values.std()) for values in lags)
    if not spread_x or not spread_y:
        return np.full(2, np.nan)
    ratio = spread_x / spread_y
    of_tickets = np.linalg.lstsq(np.stack([lags[1], lags[0]], axis=1), leads[1], rcond=None)[0][1]
    of_plasticity = np.linalg.lstsq(np.stack(lags, axis=1), leads[0], rcond=None)[0][1]
    return np.array([of_tickets * ratio, of_plasticity / ratio])


def _within(values: Array) -> Array:
    """Takes out stream effects and each dose's task effects; returns what is left, in a row."""
    left = values - values.mean(axis=-1, keepdims=True)
    return np.asarray((left - left.mean(axis=0, keepdims=True)).ravel())
