"""Whether two measures go together beyond the changes that all seeds share."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raylot.analysis.statistics.intervals import Array, Indices, mean_interval

#: Up to so many permutations of the seeds are all tried; of more, this many less one are drawn.
MOST_PERMUTATIONS = 10_000

#: Share of a measure's variance below which rounding is all that is left of it.
_NOTHING_LEFT = 1e-18

#: Correlations that differ by no more are tied.
_TIED = 1e-12

#: With fewer degrees of freedom left, every correlation is 1 or -1.
_LEAST_FREEDOM = 2

#: One measure of one shift, shape (seeds, tasks); NaN where it is missing.
Panel = Array


@dataclass(frozen=True)
class Link:
    """A correlation over snapshots, after removing stream and task effects.

    Attributes:
        r: in [-1, 1]; None if it does not exist.
        low, high: bounds of its interval; None with fewer than three seeds.
        p: two-sided, by permuting the seeds; None where r is.
        seeds: whose snapshots it rests on.
        snapshots: it rests on.
    """

    r: float | None
    low: float | None
    high: float | None
    p: float | None
    seeds: int
    snapshots: int


def link(pairs: Sequence[tuple[Panel, Panel]], confidence: float = 0.95) -> Link:
    """Correlates two measures after removing from each what all seeds share at a task, and what
    all tasks share in a stream.

    p is exact whatever the shape of the common change and however snapshots of a stream depend
    on each other: if two measures are not linked, then one seed's trajectory of one measure stands
    beside another seed's of the other just as well. Whole trajectories are permuted, the same way
    in each shift. The interval is a jackknife over seeds, on Fisher's z, with t quantiles.

    Args:
        pairs: a panel of each measure, for one shift or more; all have the same seeds.
        confidence: of the interval, in (0, 1).
    """
    joint = [~np.isnan(x) & ~np.isnan(y) for x, y in pairs]
    rows = np.flatnonzero(np.any([has.any(axis=1) for has in joint], axis=0))
    own = [(x[rows], y[rows]) for x, y in pairs]
    seeds, snapshots = len(rows), sum(int(has.sum()) for has in joint)
    products = _products(own) if seeds else None
    if products is None:
        return Link(None, None, None, None, seeds, snapshots)
    r = float(_correlations(products, np.arange(seeds)[None])[0])
    if math.isnan(r):
        return Link(None, None, None, None, seeds, snapshots)
    low, high = _jackknife(own, r, confidence)
    return Link(r, low, high, _p(products, r), seeds, snapshots)


def smallest_p(seeds: int) -> float:
    """The smallest p that a permutation of so many seeds can reach: 1/120 for 5."""
    return 1 / min(math.factorial(seeds), MOST_PERMUTATIONS)


def _p(products: Array, r: float) -> float:
    seeds = products.shape[1]
    permutations, drawn = _permutations(seeds)
    found = _correlations(products, permutations)
    # a permutation that leaves no snapshot in common counts against the link
    as_far = int((~(np.abs(found) < abs(r) - _TIED)).sum())
    return (as_far + drawn) / (len(permutations) + drawn)


def _permutations(seeds: int) -> tuple[Indices, int]:
    """All permutations of the seeds and 0, or a sample of them and 1: the observed one, which
    belongs to every sample."""
    if math.factorial(seeds) <= MOST_PERMUTATIONS:
        return np.array(list(itertools.permutations(range(seeds)))), 0
    order = np.tile(np.arange(seeds), (MOST_PERMUTATIONS - 1, 1))
    return np.random.default_rng(0).permuted(order, axis=1), 1


def _products(pairs: Sequence[tuple[Panel, Panel]]) -> Array | None:
    """Sums over snapshots of xy, xx and yy, of each seed's x beside each seed's y.

    Returns:
        Shape (3, seeds, seeds); None if stream and task effects leave nothing of a measure.
    """
    freedom, found = 0, np.zeros((3, len(pairs[0][0]), len(pairs[0][0])))
    for x, y in pairs:
        (left_x, has_x), (left_y, has_y) = _residuals(x), _residuals(y)
        has = has_x * has_y
        freedom += int(has.sum() - has.any(axis=1).sum() - has.any(axis=0).sum() + has.any())
        found += [left_x @ left_y.T, left_x**2 @ has_y.T, has_x @ (left_y**2).T]
    if freedom < _LEAST_FREEDOM:
        return None
    return found


def _residuals(values: Panel) -> tuple[Array, Array]:
    """Returns the residuals of a panel after stream and task effects, and where it has values."""
    has = ~np.isnan(values)
    if not has.any():
        return np.zeros(values.shape), has.astype(float)
    given = np.where(has, values, 0)
    seeds, tasks = values.shape
    centred = np.where(has, given - given.sum() / has.sum(), 0)
    if has.all():
        left = centred - centred.mean(axis=0) - centred.mean(axis=1, keepdims=True)
    else:
        place = np.indices(values.shape)[:, has]
        design = np.hstack([np.eye(seeds)[place[0]], np.eye(tasks)[place[1]]])
        left = np.zeros(values.shape)
        fitted = design @ np.linalg.lstsq(design, centred[has], rcond=None)[0]
        left[has] = centred[has] - fitted
    if (left**2).sum() <= _NOTHING_LEFT * (given**2).sum():
        left = np.zeros(values.shape)
    return left, has.astype(float)


def _correlations(products: Array, permutations: Indices) -> Array:
    """Correlation of x with y where seed i's x stands beside the y of seed permutation[i].

    Args:
        products: see `_products`.
        permutations: shape (permutations, seeds).

    Returns:
        Shape (permutations,); NaN where x or y does not vary.
    """
    seeds = np.arange(products.shape[1])
    xy, xx, yy = products[:, seeds, permutations].sum(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.clip(xy / np.sqrt(xx * yy), -1, 1))


def _jackknife(
    pairs: Sequence[tuple[Panel, Panel]], r: float, confidence: float
) -> tuple[float | None, float | None]:
    seeds = len(pairs[0][0])
    without = []
    for seed in range(seeds if seeds > 2 else 0):
        products = _products([(np.delete(x, seed, 0), np.delete(y, seed, 0)) for x, y in pairs])
        if products is not None:
            without.append(_correlations(products, np.arange(seeds - 1)[None])[0])
    if not without or len(without) < seeds:
        return None, None
    z, z_without = (np.arctanh(np.clip(v, -1 + _TIED, 1 - _TIED)) for v in (r, np.array(without)))
    found = mean_interval(seeds * z - (seeds - 1) * z_without, confidence)
    if found is None or found.low is None or found.high is None or found.seeds < seeds:
        return None, None
    return math.tanh(found.low), math.tanh(found.high)
