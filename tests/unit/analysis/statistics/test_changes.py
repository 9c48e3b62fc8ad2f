"""Changes along a stream, and beside the control."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from raylot.analysis.statistics.changes import changes, compare
from raylot.analysis.statistics.intervals import CENTERS

MEAN = CENTERS["mean"]
NONE = np.nan


def test_every_later_snapshot_counts_alike() -> None:
    panel = np.array([[1, 2, 6], [1, NONE, 6], [NONE, 2, 6], [1, NONE, NONE]])
    assert changes(panel) == pytest.approx([3, 5, NONE, NONE], nan_ok=True)


def along(last: list[float]) -> np.ndarray:
    """Streams that change from 0 to these values at once."""
    return np.array([[0.0, value, value] for value in last])


SHIFT, CONTROL = [1.0, 1.2, 0.9, 1.1, 1.3], [0.9, 1.1, 1.0, 1.1, 1.2]


def test_equivalence_is_two_one_sided_tests() -> None:
    found = compare(along(SHIFT), along(CONTROL), (0.8, 1.2), MEAN)
    assert found is not None
    own, other = np.array(SHIFT), np.array(CONTROL)
    least = stats.ttest_1samp(other - 0.8 * own, 0, alternative="greater").pvalue
    most = stats.ttest_1samp(other - 1.2 * own, 0, alternative="less").pvalue
    assert found.p_equivalent == pytest.approx(max(least, most))
    assert found.difference.p == pytest.approx(stats.ttest_rel(own, other).pvalue)


def test_the_smallest_difference_has_a_power_of_80_percent() -> None:
    """A noncentral t distribution that far out exceeds the two-sided limit 80% of the time."""
    found = compare(along(SHIFT), along(CONTROL), (0.8, 1.2), MEAN)
    assert found is not None
    error = np.std(np.array(SHIFT) - np.array(CONTROL), ddof=1) / np.sqrt(5)
    power = stats.nct.sf(stats.t.ppf(0.975, 4), 4, found.smallest / error)
    assert power == pytest.approx(0.8, abs=1e-4)


def test_pairs_have_the_same_snapshots() -> None:
    """Streams that end early are compared as far as they go."""
    shift = np.array([[0, 1, 2], [0, 1, 2], [0, 1, 2.0]])
    control = np.array([[0, 1, NONE], [0, 1, 2], [NONE, 1, 2]])
    found = compare(shift, control, (0.8, 1.2), MEAN)
    assert found is not None
    assert (found.difference.mean, found.difference.seeds) == (0, 2)
    assert compare(shift[:1], control[:1], (0.8, 1.2), MEAN) is None
