"""The link beyond common change: by hand, against a plain loop, and where there is none."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from statsmodels.formula import api as models

from raylot.analysis.statistics.link import Link, link, smallest_p


def noise(seed: int, seeds: int = 5, tasks: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(seeds, tasks))


def residuals(values: np.ndarray) -> np.ndarray:
    """Of a linear model with stream and task effects; NaN where a value is missing."""
    seed, task = np.indices(values.shape)
    columns = {"value": values.ravel(), "seed": seed.ravel(), "task": task.ravel()}
    fit = models.ols("value ~ C(seed) + C(task)", pd.DataFrame(columns), missing="drop").fit()
    left = np.full(values.size, np.nan)
    left[~np.isnan(values.ravel())] = fit.resid
    return left.reshape(values.shape)


def plain(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """r and its exact p, by a loop over all permutations of the seeds."""
    x, y = residuals(x), residuals(y)
    found = []
    for order in itertools.permutations(range(len(x))):
        both = ~np.isnan(x) & ~np.isnan(y[list(order)])
        a, b = x[both], y[list(order)][both]
        found.append(float(a @ b / np.sqrt((a @ a) * (b @ b))))
    far = sum(abs(r) >= abs(found[0]) - 1e-9 for r in found)
    return found[0], far / len(found)


@pytest.mark.parametrize("gaps", [[], [(0, 1), (3, 2), (3, 3)]])
def test_it_equals_a_plain_loop_over_permutations(gaps: list[tuple[int, int]]) -> None:
    x, y = noise(1), noise(2) + noise(1)
    for place in gaps:
        x[place] = y[place] = np.nan
    found = link([(x, y)])
    r, p = plain(x, y)
    assert found.r == pytest.approx(r)
    assert found.p == pytest.approx(p)
    assert (found.seeds, found.snapshots) == (5, 20 - len(gaps))


def test_the_common_change_does_not_matter_whatever_its_shape() -> None:
    x, y = noise(1), noise(2)
    bend = np.array([0, 9, 10, 10.5])
    found, bare = link([(x + bend, y - 3 * bend + noise(3, tasks=1))]), link([(x, y)])
    assert (found.r, found.low, found.high, found.p) == pytest.approx(
        (bare.r, bare.low, bare.high, bare.p)
    )


def test_one_permutation_for_all_shifts() -> None:
    """Seeds that are linked in one shift and against each other in the other are not linked."""
    x, y = noise(1), noise(2)
    twice = link([(x, y), (x, y)])
    once = link([(x, y)])
    assert (twice.r, twice.p) == (pytest.approx(once.r), once.p)
    assert link([(x, y), (x, -y)]).r == pytest.approx(0)


def test_smallest_p() -> None:
    strong = link([(noise(1), 2 * noise(1))])
    assert strong.r == pytest.approx(1)
    assert strong.p == smallest_p(5) == 1 / 120
    many = link([(noise(1, 9), noise(1, 9))])
    assert many.p == smallest_p(9) == 1 / 10_000
    assert many.p == link([(noise(1, 9), noise(1, 9))]).p, "the sample is the same each time"


def test_a_seed_without_the_one_measure_counts_nothing() -> None:
    x, y = noise(1, 6), noise(2, 6)
    y[5] = np.nan
    assert link([(x, y)]).seeds == 5


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("x", "y"),
    [
        (noise(1), np.full((5, 4), 7.1)),
        (noise(1), np.arange(5)[:, None] + np.arange(4.0)),
        (noise(1), np.full((5, 4), np.nan)),
        (noise(1, seeds=1), noise(2, seeds=1)),
        (noise(1, tasks=1), noise(2, tasks=1)),
        (noise(1, 2, 2), noise(2, 2, 2)),
        (noise(1, tasks=0), noise(2, tasks=0)),
    ],
)
def test_there_is_none_where_nothing_is_left(x: np.ndarray, y: np.ndarray) -> None:
    found = link([(x, y)])
    assert (found.r, found.low, found.high, found.p) == (None, None, None, None)


@pytest.mark.filterwarnings("error")
def test_two_seeds_have_a_correlation_and_no_interval() -> None:
    found = link([(noise(1, seeds=2), noise(2, seeds=2))])
    assert isinstance(found, Link)
    assert found.r is not None
    assert (found.low, found.high) == (None, None)
    assert found.p is not None
    assert found.p >= smallest_p(2)
