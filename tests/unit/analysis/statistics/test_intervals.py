"""Means and resamples over seeds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from raylot.analysis.statistics.intervals import (
    Mean,
    interquartile_interval,
    mean_interval,
    percentile_intervals,
    seed_resamples,
)


def test_mean_interval_by_hand() -> None:
    """1, 2, 3: mean 2, standard error 1 / sqrt(3), t(0.975, 2) = 4.302653."""
    found = mean_interval([1.0, 2.0, 3.0, np.nan])
    assert found is not None
    assert (found.mean, found.seeds) == (2.0, 3)
    assert found.high == pytest.approx(2 + 4.302653 / np.sqrt(3))
    assert found.low == pytest.approx(2 - 4.302653 / np.sqrt(3))


@pytest.mark.filterwarnings("error")
def test_mean_interval_of_little() -> None:
    assert mean_interval([np.nan]) is None
    assert mean_interval([np.inf, 1e308, -1e308]) is None
    assert mean_interval([4.0]) == Mean(4.0, None, None, 1)
    assert mean_interval([4.0, 4.0]) == Mean(4.0, 4.0, 4.0, 2, 0.0, 1)


def test_resamples_draw_as_many_seeds_as_there_are() -> None:
    counts = seed_resamples(4, 5000, 1)
    assert (counts.sum(axis=1) == 4).all()
    # each seed is drawn once on average, and missing with probability (3/4)^4
    assert counts.mean(axis=0) == pytest.approx(np.ones(4), abs=0.05)
    assert (counts == 0).mean() == pytest.approx(0.75**4, abs=0.02)
    assert (counts == seed_resamples(4, 5000, 1)).all()
    assert (counts != seed_resamples(4, 5000, 2)).any()


def test_percentiles_leave_out_what_is_undefined() -> None:
    columns = np.array([[np.nan, *range(101)], [*range(0, 202, 2), 202], [np.nan] * 102]).T
    low, high = percentile_intervals(columns, 0.9)
    assert low == pytest.approx(np.array([5, 10.1, np.nan]), nan_ok=True)
    assert high == pytest.approx(np.array([95, 191.9, np.nan]), nan_ok=True)
    low, high = percentile_intervals(columns.reshape(102, 3, 1), 0.9)
    assert low.shape == high.shape == (3, 1)


@pytest.mark.filterwarnings("error")
def test_interquartile_mean_by_hand() -> None:
    """A quarter of 5 seeds is one from each end: the mean of 2, 3 and 4, even with an outlier.

    Winsorised, the values are 2, 2, 3, 4, 4, whose standard deviation is 1: the error of the mean
    of three is sqrt(5) / 3, and t(0.975, 2) = 4.302653.
    """
    found = interquartile_interval([1000.0, 2.0, 4.0, 3.0, 1.0, np.nan])
    assert found is not None
    assert (found.mean, found.seeds) == (3.0, 5)
    assert found.high == pytest.approx(3 + 4.302653 * np.sqrt(5) / 3)
    assert found.low == pytest.approx(3 - 4.302653 * np.sqrt(5) / 3)
    assert interquartile_interval([np.nan]) is None
    assert interquartile_interval([4.0]) == Mean(4.0, None, None, 1)
    assert interquartile_interval([4.0, 4.0]) == mean_interval([4.0, 4.0])


def test_p_values_agree_with_scipy() -> None:
    values = [0.3, -0.1, 0.5, 0.2]
    found = mean_interval(values)
    assert found is not None
    assert found.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    above = stats.ttest_1samp(values, 0, alternative="greater").pvalue
    assert found.p_above == pytest.approx(above)
    one = mean_interval([4.0])
    assert one is not None
    assert one.p is one.p_above is None
    for value, p, above in ((0.0, 1, 1), (4.0, 0, 0), (-4.0, 0, 1)):
        same = mean_interval([value, value])
        assert same is not None
        assert (same.p, same.p_above) == (p, above)
