"""Distributions: their ranges, how they are written, and that they draw as Ray Tune does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from ray import tune
from scipy import stats

from raylot.config.distributions import Distribution
from raylot.foundation.errors import OptionError

ARGUMENTS = [
    ("uniform", (0.5, 2.0)),
    ("loguniform", (1e-6, 1e-2)),
    ("quniform", (0.2, 1.4, 0.2)),
    ("randint", (2, 9)),
    ("lograndint", (2, 900)),
    ("choice", (1, 5, 7)),
]


def drawn(one: Distribution, number: int) -> list[float]:
    return [one.draw(share) for share in np.random.default_rng(0).random(number)]


@pytest.mark.parametrize(("name", "arguments"), ARGUMENTS)
def test_draws_are_distributed_as_those_of_ray_tune(
    name: str, arguments: tuple[float, ...]
) -> None:
    """Kolmogorov-Smirnov's distance of 1000 draws to 5000 of Tune's; p would be below 1e-4 in one
    of 10,000 pairs of equal distributions."""
    ours = drawn(Distribution.checked(name, arguments), 1000)
    domain = tune.choice(list(arguments)) if name == "choice" else getattr(tune, name)(*arguments)
    theirs = domain.sample(size=5000, random_state=np.random.RandomState(0))
    assert stats.ks_2samp(np.round(ours, 9), np.round(theirs, 9)).pvalue > 1e-4
    assert {type(value) for value in ours} == {type(one) for one in arguments[:1]}


@given(low=st.floats(1e-8, 10), width=st.floats(1e-9, 10), share=st.floats(0, 1, exclude_max=True))
def test_draws_have_four_digits_and_lie_in_their_range(
    low: float, width: float, share: float
) -> None:
    assume(f"{low:.4g}" != f"{low + width:.4g}")
    for name in ("uniform", "loguniform"):
        one = Distribution.checked(name, (low, low + width))
        value = one.draw(share)
        assert low <= value <= low + width
        assert value in (*one.extremes, float(f"{value:.4g}"))


def test_whole_numbers_end_below_their_bound() -> None:
    assert {*drawn(Distribution.checked("randint", ("2", "5")), 100)} == {2, 3, 4}
    assert Distribution.checked("randint", ("2", "5")).extremes == (2, 4)
    assert {*drawn(Distribution.checked("quniform", (0, 0.9, 0.3)), 100)} == {0, 0.3, 0.6, 0.9}


@pytest.mark.parametrize(("name", "arguments"), ARGUMENTS)
def test_its_text_is_that_of_a_search(name: str, arguments: tuple[float, ...]) -> None:
    one = Distribution.checked(name, arguments)
    inner = str(one).removeprefix(f"{name}(").removesuffix(")")
    assert Distribution.checked(name, inner.split(",")).extremes == (
        tuple(map(str, one.extremes)) if name == "choice" else one.extremes
    )


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("normal", (0, 1), "must be values, grid"),
        ("uniform", (0,), r"must be uniform\(low,high\)"),
        ("uniform", (1, 1), "must have low < high"),
        ("uniform", (1.00001, 1.00002), "must have low and high that differ in 4 digits"),
        ("loguniform", (1.23456e-4, 1.23461e-4), "must have low and high that differ in 4 digits"),
        ("uniform", ("a", 1), "must have finite numbers"),
        ("uniform", (0, "inf"), "must have finite numbers"),
        ("uniform", (0, "nan"), "must have finite numbers"),
        ("uniform", (0, ("1", "2")), "must have finite numbers"),
        ("randint", (0, "9" * 5000), "must have finite numbers"),
        ("loguniform", (0, 1), "must have low > 0"),
        ("lograndint", (0, 5), "must have low > 0"),
        ("randint", (0, 1.5), "must have whole numbers"),
        ("quniform", (0, 1, 0), "must have q > 0"),
        ("quniform", (0, 1, 0.3), "multiples of q"),
        ("quniform", (1, 1e308, 1e-300), "multiples of q"),
        ("choice", (), "must have one or more values"),
    ],
)
def test_what_is_no_distribution_is_refused(
    name: str, arguments: tuple[object, ...], message: str
) -> None:
    with pytest.raises(OptionError, match=f"^{message}|{message}"):
        Distribution.checked(name, arguments)
