"""Simulated studies of doses of which it is known whether tickets follow plasticity."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from raylot.analysis.doses.answer import doubts
from raylot.analysis.doses.dose_link import link_doses
from raylot.analysis.doses.strengths import Strengths, least_methods, over_strengths
from raylot.analysis.doses.trajectories import method

#: The study's doses, and how much plasticity digits lost by them.
FEW = {
    "none": 0.19, "l2_init(1e-9)": 0.09, "l2_init(1e-5)": 0.03, "l2_init(1e-2)": 0.01,
    "shrink_and_perturb(0.97)": 0.13, "shrink_and_perturb(0.9)": 0.08,
    "shrink_and_perturb(0.6)": 0.03, "reset": 0.0,
}  # fmt: skip

#: As many methods of several doses as a claim takes, and one more.
MANY = {
    "none": 0.19,
    **{
        f"method{index}({strength})": lost
        for index in range(7)
        for strength, lost in enumerate((0.15 - 0.01 * index, 0.08, 0.01 + 0.01 * index))
    },
    "reset": 0.0,
}

#: What moves tickets in each kind of study without a link.
UNRELATED = [
    "noise", "doses", "methods", "strengths", "strengths and methods", "noise of plasticity",
]  # fmt: skip


def simulated(
    kind: str, lost: dict[str, float], seeds: int, draw: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Returns plasticity and tickets of one study, shape (seeds, doses)."""
    doses = list(lost)
    names = list(dict.fromkeys(map(method, doses)))
    of_method = [names.index(method(dose)) for dose in doses]
    strength = np.array([sum(method(d) == method(dose) for d in doses[:index])
                         for index, dose in enumerate(doses)])  # fmt: skip
    each, own = (draw.normal(size=len(names))[of_method] for _ in range(2))
    noise = 0.02 * draw.normal(size=(seeds, len(doses)))
    true = pd.Series(lost)
    if kind == "noise of plasticity":  # and strengths make no difference to plasticity
        true = true.groupby(method).transform("mean")
    x = true.to_numpy() + noise
    y = draw.normal(size=(seeds, 1)) + 0.3 * draw.normal(size=(seeds, len(doses)))
    y = y + {
        "noise": np.zeros(len(doses)), "doses": draw.normal(size=len(doses)), "methods": own,
        "strengths": each * strength, "strengths and methods": each * strength + own,
        "noise of plasticity": 30 * noise, "linked": -10 * x,
    }[kind]  # fmt: skip
    return pd.DataFrame(x, columns=doses), pd.DataFrame(y, columns=doses)


def claimed(
    kind: str, lost: dict[str, float], seeds: int, studies: int, confidence: float = 0.95
) -> tuple[int, int]:
    """Counts the studies in which a link is claimed, and in which seeds agree on one."""
    draw = np.random.default_rng([seeds, *kind.encode()])
    claims = sure = 0
    for _ in range(studies):
        found = link_doses(*simulated(kind, lost, seeds, draw), confidence)
        assert found.correlation is not None
        agree = found.correlation.direction != 0
        sure += agree
        claims += agree and not doubts(found, {}, confidence)
    print(f"{kind}, {len(lost)} doses, {seeds} seeds: {claims / studies:.1%} claimed, "
          f"{sure / studies:.1%} by seeds alone")  # fmt: skip
    return claims, sure


@pytest.mark.parametrize("lost", [FEW, MANY], ids=["4 methods", "9 methods"])
@pytest.mark.parametrize("seeds", [5, 10])
@pytest.mark.parametrize("kind", UNRELATED)
@pytest.mark.parametrize("studies", [50, pytest.param(400, marks=pytest.mark.slow)])
def test_without_a_link_one_is_claimed_at_most_5_percent_of_the_time(
    lost: dict[str, float], seeds: int, kind: str, studies: int
) -> None:
    """Doses lose more and more plasticity, whatever moves tickets."""
    claims, sure = claimed(kind, lost, seeds, studies)
    bound = studies * 0.05 + 2.6 * np.sqrt(studies * 0.05 * 0.95)  # passed in 99.5% at 5%
    assert claims <= bound
    if kind == "noise":
        assert sure <= bound
    elif kind != "noise of plasticity":
        assert sure > bound, "the seeds' interval alone would claim links"


@pytest.mark.parametrize("studies", [30, pytest.param(400, marks=pytest.mark.slow)])
@pytest.mark.parametrize("seeds", [5, 10])
def test_a_link_within_enough_methods_is_claimed(seeds: int, studies: int) -> None:
    claims, _ = claimed("linked", MANY, seeds, studies)
    assert claims > 0.8 * studies
    claims, sure = claimed("linked", FEW, seeds, studies)
    assert claims == 0, "2 methods of several doses can only be described"
    assert sure > 0.9 * studies


# ------------------------------------------------------------------ within methods, by hand


def by_hand(*tickets: tuple[float, float]) -> Strengths:
    """Two seeds, and methods of two doses that differ by 2 in plasticity and so in tickets."""
    doses = [f"m{i}({d})" for i in range(len(tickets)) for d in (0, 1)]
    x = pd.DataFrame([[0.0, 2.0] * len(tickets)] * 2, columns=doses)
    return over_strengths(x, pd.DataFrame([np.ravel(tickets)] * 2, columns=doses))


def test_a_methods_covariance_by_hand() -> None:
    """Deviations are -1 and 1 of plasticity, and -2 and 2, or 1 and -1, of tickets."""
    found = by_hand((1.0, 5.0), (7.0, 5.0))
    assert found.products == pytest.approx({"m0": 2.0, "m1": -1.0})
    assert found.direction == 1


def test_a_method_of_one_dose_says_nothing() -> None:
    frame = pd.DataFrame([[0.0, 1.0, 2.0]] * 3, columns=["none", "reset", "l2(1)"])
    found = over_strengths(frame, frame)
    assert (found.products, found.p, found.direction) == ({}, 1.0, 0)


@pytest.mark.parametrize(("methods", "p"), [(1, 1.0), (2, 0.5), (5, 2 / 32), (6, 2 / 64)])
def test_p_counts_methods_and_not_doses(methods: int, p: float) -> None:
    assert by_hand(*[(0.0, 1.0)] * methods).p == pytest.approx(p)


def test_six_methods_are_needed_at_95_percent() -> None:
    assert [least_methods(confidence) for confidence in (0.5, 0.9, 0.95, 0.99)] == [2, 5, 6, 8]


def test_noise_that_both_measures_of_a_stream_share_is_no_covariance() -> None:
    """Seeds 0 and 1 differ by the same noise in both; seed 0 says nothing of seed 1's tickets."""
    noise = pd.DataFrame([[1.0, -1.0], [0.0, 0.0]], columns=["m(1)", "m(2)"])
    assert over_strengths(noise, noise).products == {"m": 0.0}
