"""When a number or a claim that was published agrees with a range of ours."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from raylot.analysis.beside_published import agrees, interval_beside
from raylot.reproductions._experiment import Published, above, below, number


def _nothing(read: object) -> pd.Series[float]:
    return pd.Series(dtype=float)


_NUMBER = number("accuracy", _nothing, 0.90, "table 1", spread=0.01)
_CLAIM = above("difference", _nothing, "abstract", bound=0.5)
_BELOW = below("difference", _nothing, "abstract", bound=0.5)


@pytest.mark.parametrize(
    ("published", "low", "high", "expected"),
    [
        (_NUMBER, 0.80, 0.895, True),
        (_NUMBER, 0.80, 0.885, False),
        (_NUMBER, 0.895, 0.905, True),
        (_NUMBER, 0.92, 0.99, False),
        (_CLAIM, 0.51, 0.9, True),
        (_CLAIM, 0.4, 0.9, None),
        (_CLAIM, 0.1, 0.49, False),
        (_BELOW, 0.1, 0.49, True),
        (_BELOW, 0.49, 0.6, None),
        (_BELOW, 0.51, 0.6, False),
    ],
)
def test_agreement(published: Published, low: float, high: float, expected: bool | None) -> None:
    assert agrees(published, low, high) is expected


def test_a_mean_of_many_runs_is_beside_the_mean_of_as_many_more() -> None:
    """The same spread; sqrt(1/30 + 1/3) in place of sqrt(1 + 1/3)."""
    many = number("accuracy", _nothing, 0.90, "table 1", runs=30)
    half = 4.302653 * 0.1 * math.sqrt(1 / 30 + 1 / 3)
    found = interval_beside(many, pd.Series([0.8, 0.9, 1.0]))
    assert found == (pytest.approx(0.9 - half), pytest.approx(0.9 + half))


def test_a_number_is_beside_one_more_seed_and_a_claim_beside_the_mean() -> None:
    """Of 0.8, 0.9 and 1.0 the spread is 0.1, and t(0.975, 2) = 4.3027."""
    values = pd.Series([0.8, 0.9, 1.0])
    one_more, mean = 4.302653 * 0.1 * math.sqrt(4 / 3), 4.302653 * 0.1 / math.sqrt(3)
    found = interval_beside(_NUMBER, values)
    assert found == (pytest.approx(0.9 - one_more), pytest.approx(0.9 + one_more))
    assert interval_beside(_CLAIM, values) == (pytest.approx(0.9 - mean), pytest.approx(0.9 + mean))


def test_one_seed_has_no_range() -> None:
    for published in (_NUMBER, _CLAIM):
        assert interval_beside(published, pd.Series([0.9])) is None
