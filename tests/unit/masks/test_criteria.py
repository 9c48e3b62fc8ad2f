"""Pruning criteria by hand."""

from __future__ import annotations

import math

import pytest
import torch

from raylot.foundation.randomness import RandomKey
from raylot.masks.criteria import CRITERIA
from raylot.masks.pruning import keep_highest

_START = torch.tensor([1.0, -2.0, 3.0, -0.5])

_TRAINED = torch.tensor([1.5, -1.0, 3.0, -2.0])


@pytest.mark.parametrize(
    ("criterion", "scores", "half"),
    [
        ("magnitude", [1.5, 1.0, 3.0, 2.0], [False, False, True, True]),
        ("magnitude_increase", [0.5, -1.0, 0.0, 1.5], [True, False, False, True]),
        ("movement", [0.5, 1.0, 0.0, 1.5], [False, True, False, True]),
    ],
)
def test_criteria_on_four_weights(criterion: str, scores: list[float], half: list[bool]) -> None:
    found = CRITERIA[criterion](_TRAINED, _START, RandomKey((0,)))
    assert found.tolist() == scores
    assert keep_highest(found, torch.ones(4, dtype=torch.bool), 2).tolist() == half


def test_the_random_criterion_depends_on_the_key_alone_and_favours_no_weight() -> None:
    random = CRITERIA["random"]
    same = random(_START, _TRAINED, RandomKey((1,)))
    assert torch.equal(random(_TRAINED, _START, RandomKey((1,))), same)
    all_four = torch.ones(4, dtype=torch.bool)
    kept = torch.stack(
        [keep_highest(random(_TRAINED, _START, RandomKey((k,))), all_four, 1) for k in range(2000)]
    )
    # each weight is the one kept with probability 1/4: 500 times, standard deviation 19
    assert (kept.sum(0) - 500).abs().max() < 5 * math.sqrt(2000 * 0.25 * 0.75)
