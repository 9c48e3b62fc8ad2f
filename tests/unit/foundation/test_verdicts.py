"""Which tickets win and how many are distinct, by hand and in general."""

from __future__ import annotations

import math

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


def test_a_ticket_wins_near_the_dense_network_and_above_chance() -> None:
    tickets, dense = [0.89, 0.91, 0.95], [0.90, 0.94]
    assert wins(Accuracies(tickets, dense), 0.02) == [False, True, True]
    assert wins(Accuracies(tickets, dense), 0.04) == [True, True, True]
    assert wins(Accuracies(tickets, dense, comparable=[0.5, 0.92]), 0.02) == [False, False, True]
    assert wins(Accuracies(tickets, dense, comparable=[0.95]), 0.02) == [False, False, False]
    denser = Accuracies(tickets, dense, random=[0.99])
    assert wins(denser, 0.02) == [False, True, True]
    assert wins(Accuracies(tickets, dense, comparable=[math.nan]), 0.02) == [False, True, True]


def test_a_summary_by_hand() -> None:
    found = summary(Accuracies([0.89, 0.91, 0.95], [0.90, 0.94], random=[0.5]), _PAIRS, 0.02)
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
    accuracies = Accuracies([0.9] * 3, [0.9], untrained=[0.7, 0.9])
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
    found = summary(Accuracies([0.1, 0.1, 0.1], [0.9]), _PAIRS, 0.0)
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


@given(st.lists(_bits, min_size=1, max_size=6))
def test_effective_count_of_any_tickets_lies_between_1_and_their_number(
    tickets: list[torch.Tensor],
) -> None:
    table = pairwise_overlaps([{"w": bits} for bits in tickets])
    table = table[table["layer"] == WHOLE_NETWORK]
    count = effective_count(overlap_matrix(table, len(tickets)))
    assert 1 - 1e-9 <= count <= len(tickets) + 1e-9
