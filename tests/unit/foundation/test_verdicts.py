"""Which tickets win and how many are distinct, by hand and in general."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given

from raylot.foundation.names import WHOLE_NETWORK
from raylot.foundation.verdicts import (
    Accuracies,
    effective_count,
    overlap_matrix,
    prediction_limit,
    rarefied_count,
    summary,
    wins,
)
from raylot.masks.overlap import pairwise_overlaps

_bits = st.lists(st.booleans(), min_size=12, max_size=12).map(lambda bits: torch.tensor(bits))

_PAIRS = pd.DataFrame({
    "compared_with": ["ticket"] * 3, "ticket_a": [0, 0, 1], "ticket_b": [1, 2, 2],
    "jaccard": [0.5, 0.0, 0.2], "chance": [0.1, 0.1, 0.1], "corrected": [0.4, -0.1, 0.1],
    "beyond_untrained": [0.3, math.nan, 0.1],
})  # fmt: skip


#: Random masks with mean 0.6 and standard deviation 0.1.
_MASKS = [0.5, 0.6, 0.7]


def test_a_ticket_wins_by_losses_below_the_masks_and_near_the_dense_network() -> None:
    known: dict[str, Any] = {
        "comparable": [1.0, 1.1, 1.2],
        "test_examples": 100,
        "are_losses": True,
    }
    # mean 1.1, s 0.1, t(2) = 2.920: the lower limit is 1.1 - 2.920 x 0.1 x sqrt(4 / 3) = 0.763
    found = Accuracies([0.76, 0.77, 0.5], [0.5], **known)
    assert wins(found, 0.52) == [True, False, True]
    # at most (1 + tolerance) times the dense network's loss
    assert wins(Accuracies([0.505, 0.506], [0.5], **known), 0.01) == [True, False]
    assert wins(Accuracies([0.5], [0.5], **known | {"comparable": [1.0, 1.1]}), 0.01) is None
    for diverged in (math.inf, math.nan):
        assert wins(Accuracies([0.76], [diverged, 0.5], **known), 0.52) == [False]


def test_the_prediction_limit_by_hand() -> None:
    """The 0.95 quantile of t with 2 degrees of freedom is 2.920."""
    assert prediction_limit(_MASKS) == pytest.approx(0.6 + 2.920 * 0.1 * math.sqrt(4 / 3), abs=1e-4)
    assert prediction_limit([0.5] * 4) == 0.5


def test_a_ticket_wins_near_the_dense_network_and_above_the_prediction_limit() -> None:
    tickets, dense = [0.93, 0.94, 0.95], [0.92, 1.0]  # the limit is 0.937
    found = Accuracies(tickets, dense, comparable=_MASKS, test_examples=10_000)
    assert wins(found, 0.0) == [False, False, False]
    assert wins(found, 0.011) == [False, False, True]
    assert wins(found, 0.021) == [False, True, True]
    assert wins(found, 0.5) == [False, True, True]


def test_one_binomial_standard_error_is_no_difference() -> None:
    """Of 0.9 on 100 examples it is 0.03; three masks that agree have no spread of their own."""
    dense = Accuracies([0.869, 0.871], [0.9], comparable=[0.0] * 3, test_examples=100)
    assert wins(dense, 0.01) == [False, True]
    masks = Accuracies([0.929, 0.931], [0.5], comparable=[0.9] * 3, test_examples=100)
    assert wins(masks, 0.01) == [False, True]


def test_a_ticket_must_beat_each_random_mask() -> None:
    masks = [0.9, *[0.1] * 40]
    assert prediction_limit(masks) < 0.4
    found = Accuracies([0.89, 0.91], [0.5], comparable=masks, test_examples=10_000)
    assert wins(found, 0.01) == [False, True]


@pytest.mark.parametrize("too_few", [[0.5, 0.6], [0.5, 0.6, math.nan]], ids=str)
def test_winning_is_not_judged_on_too_little(too_few: list[float]) -> None:
    enough = Accuracies([0.99] * 3, [0.5], comparable=_MASKS, test_examples=100)
    assert wins(enough, 0.01) == [True] * 3
    accuracies = Accuracies([0.99] * 3, [0.5], comparable=too_few, test_examples=100)
    assert wins(accuracies, 0.01) is None
    found = summary(accuracies, _PAIRS, 0.01)
    assert (found["winning_tickets"], found["winning_ticket_count"]) == (None, None)


def test_random_masks_of_their_own_density_are_not_compared() -> None:
    found: dict[str, Any] = {"ticket": [0.9], "dense": [0.9], "random": [0.1, 0.2, 0.3]}
    own = Accuracies.of(found, 0.05, 100)
    assert (own.random, own.comparable) == ([0.1, 0.2, 0.3], ())
    as_dense_as_tickets = Accuracies.of(found, None, 100)
    assert as_dense_as_tickets.random == as_dense_as_tickets.comparable == [0.1, 0.2, 0.3]


_EXAMPLES = 360

#: How accuracies of random masks may be distributed -> draws of a given shape.
_DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "normal": lambda rng, shape: rng.normal(0.6, 0.05, shape),
    "binomial, 0.85 of 360": lambda rng, shape: rng.binomial(_EXAMPLES, 0.85, shape) / _EXAMPLES,
    "binomial, 0.98 of 360": lambda rng, shape: rng.binomial(_EXAMPLES, 0.98, shape) / _EXAMPLES,
    "one example more or less": lambda rng, shape: 0.9 + (rng.random(shape) < 0.2) / _EXAMPLES,
    "tail below (exponential)": lambda rng, shape: 0.9 - rng.exponential(0.05, shape),
    "tail above (exponential)": lambda rng, shape: 0.3 + rng.exponential(0.05, shape),
}


@pytest.mark.parametrize("distribution", _DISTRIBUTIONS)
def test_a_ticket_no_better_than_random_wins_in_5_percent_at_most(distribution: str) -> None:
    """3,000 searches each: false wins by the number of random masks. (``-s`` prints the table.)

    Above every random mask, as the rule was before: 1 / (n + 1).
    """
    rng = np.random.default_rng(0)
    for n in (3, 4, 10, 50):
        draws = _DISTRIBUTIONS[distribution](rng, (3000, n + 1))
        before = float(np.mean(draws[:, 0] > draws[:, 1:].max(axis=1)))
        won = [
            wins(
                Accuracies([draw[0]], [0.0], comparable=draw[1:], test_examples=_EXAMPLES), 0.0
            ) == [True]
            for draw in draws
        ]  # fmt: skip
        now = float(np.mean(won))
        print(f"| {distribution} | {n} | {before:.3f} | {now:.3f} |")
        # three standard errors of the simulation more
        most = 0.11 if distribution.startswith("tail above") else 0.05
        assert now <= most + 3 * math.sqrt(most * (1 - most) / 3000)
        assert now <= 1 / (n + 1) + 3 * math.sqrt(1 / (n + 1) / 3000)
        if distribution == "normal" and n < 50:  # neither does it hold back good tickets
            assert now > 0.03


def test_a_summary_by_hand() -> None:
    found = summary(
        Accuracies([0.89, 0.91, 0.95], [0.90, 0.94], random=[0.5], comparable=[0.5, 0.5, 0.6],
                   test_examples=10_000),
        _PAIRS, 0.02,
    )  # fmt: skip
    assert (found["tickets"], found["winning_tickets"], found["tolerance"]) == (3, 2, 0.02)
    assert found["overlap_mean"] == pytest.approx(0.7 / 3)
    # of the two that win: similarity 0.2
    entropy = -(0.6 * math.log(0.6) + 0.4 * math.log(0.4))
    assert found["winning_ticket_count"] == pytest.approx(math.exp(entropy))
    assert found["random_accuracy"] == 0.5
    assert math.isnan(found["rewired_accuracy"])


def test_overlaps_with_untrained_masks_are_no_pairs_of_tickets() -> None:
    untrained = pd.DataFrame(
        {"compared_with": "untrained", "ticket_a": [0, 1, 2], "ticket_b": [0, 1, 2]}
    ).assign(jaccard=[0.6, 0.7, 0.8])
    accuracies = Accuracies(
        [0.9] * 3, [0.9], untrained=[0.7, 0.9], comparable=_MASKS, test_examples=100
    )
    found = summary(accuracies, pd.concat([_PAIRS, untrained]), 0.02)
    plain = summary(accuracies, _PAIRS, 0.02)
    assert found["overlap_untrained"] == pytest.approx(0.7)
    assert math.isnan(plain["overlap_untrained"])
    assert found["overlap_beyond_untrained"] == pytest.approx(0.2)
    assert found["untrained_accuracy"] == pytest.approx(0.8)
    rest = found.keys() - {"overlap_untrained"}
    assert {name: found[name] for name in rest} == pytest.approx(
        {name: plain[name] for name in rest}, nan_ok=True
    )


def test_no_ticket_may_win() -> None:
    found = summary(
        Accuracies([0.1] * 3, [0.9], comparable=[0.0] * 3, test_examples=100), _PAIRS, 0.0
    )
    assert found["winning_tickets"] == 0
    assert found["winning_ticket_count"] == 0


def test_the_matrix_is_symmetric_with_ones_on_its_diagonal() -> None:
    matrix = overlap_matrix(_PAIRS, 3)
    np.testing.assert_allclose(matrix, [[1, 0.5, 0], [0.5, 1, 0.2], [0, 0.2, 1]])


def test_effective_count_by_hand() -> None:
    assert effective_count(np.ones((4, 4))) == pytest.approx(1)
    assert effective_count(np.eye(4)) == pytest.approx(4)
    assert effective_count(np.zeros((0, 0))) == 0
    # two of similarity s: eigenvalues (1 + s) / 2 and (1 - s) / 2
    s = 0.5
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert effective_count(np.array([[1, s], [s, 1]])) == pytest.approx(math.exp(entropy))
    # two groups of identical tickets count as two
    groups = np.kron(np.eye(2), np.ones((3, 3)))
    assert effective_count(groups) == pytest.approx(2)


def test_a_rarefied_count_is_the_mean_over_all_subsets() -> None:
    """Of three tickets two are the same: pairs count as 1, 2 and 2."""
    matrix = np.array([[1.0, 1, 0], [1, 1, 0], [0, 0, 1]])
    assert rarefied_count(matrix, 2) == pytest.approx(5 / 3)
    assert rarefied_count(matrix, 1) == pytest.approx(1)
    assert rarefied_count(matrix, 3) == pytest.approx(effective_count(matrix))
    # of the pairs, two hold the first ticket, and one holds the first and the third
    assert rarefied_count(matrix, 2, {0}) == pytest.approx(2 / 3)
    assert rarefied_count(matrix, 2, {0, 2}) == pytest.approx((1 + 2 + 1) / 3)
    assert rarefied_count(matrix, 2, set()) == 0


def test_many_subsets_are_sampled_in_the_same_way_each_time() -> None:
    """40 tickets with overlap 0.5: every five of them count alike."""
    alike = np.full((40, 40), 0.5) + 0.5 * np.eye(40)
    five = effective_count(alike[:5, :5])
    assert rarefied_count(alike, 5) == pytest.approx(five)
    assert five < 0.5 * effective_count(alike), "counts at different numbers cannot be compared"
    groups = np.kron(np.eye(4), np.ones((10, 10)))
    sampled = rarefied_count(groups, 5)
    assert sampled == rarefied_count(groups, 5)
    draws = np.random.default_rng(1).permuted(np.tile(np.arange(40), (2000, 1)), axis=1)[:, :5]
    every = np.mean([effective_count(groups[d][:, d]) for d in draws])
    assert sampled == pytest.approx(every, abs=0.15)


def test_a_summary_of_fewer_tickets_has_their_counts_and_the_means_of_all() -> None:
    accuracies = Accuracies([0.9, 0.9, 0.1], [0.9], comparable=[0.2] * 3, test_examples=10_000)
    found, whole = summary(accuracies, _PAIRS, 0.01, 2), summary(accuracies, _PAIRS, 0.01)
    assert (whole["winning_tickets"], found["winning_tickets"]) == (2, pytest.approx(4 / 3))
    assert (whole["tickets"], found["tickets"]) == (3, 2)
    assert found["ticket_count"] < whole["ticket_count"]
    assert found["winning_ticket_count"] < whole["winning_ticket_count"]
    for name in ("overlap_mean", "ticket_accuracy"):
        assert found[name] == whole[name]


@given(st.lists(_bits, min_size=1, max_size=6))
def test_effective_count_of_any_tickets_lies_between_1_and_their_number(
    tickets: list[torch.Tensor],
) -> None:
    table = pairwise_overlaps([{"w": bits} for bits in tickets])
    table = table[table["layer"] == WHOLE_NETWORK]
    count = effective_count(overlap_matrix(table, len(tickets)))
    assert 1 - 1e-9 <= count <= len(tickets) + 1e-9
