"""Random labels tell nothing; the test split shows what is memorised."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from raylot.foundation.randomness import RandomKey
from raylot.tasks import load_dataset, make_task, randomize_labels
from tests.unit.tasks.shifts.tiny_tasks import shifted_by


def test_random_labels_are_uniform_and_tell_nothing() -> None:
    dataset = load_dataset("digits")
    task, other = (make_task(dataset, shifted_by("random_labels"), 0, t) for t in (0, 1))
    examples = 1437
    # Bernoulli(0.1) over 1437 examples: a standard deviation of sqrt(1437 * 0.1 * 0.9) = 11.4
    assert task.train_labels.bincount(minlength=10).numpy() == pytest.approx(
        examples / 10, abs=4 * 11.4
    )
    for unrelated in (dataset, other):
        agreeing = int((task.train_labels == unrelated.train_labels).sum())
        assert agreeing == pytest.approx(examples / 10, abs=4 * 11.4)
    assert torch.equal(task.train_inputs, dataset.train_inputs)


@pytest.mark.parametrize(("test_examples", "expected"), [(3, 3), (50, 20)])
def test_random_labels_are_scored_by_memorisation(test_examples: int, expected: int) -> None:
    digits = load_dataset("digits")
    dataset = replace(
        digits,
        train_inputs=digits.train_inputs[:20],
        train_labels=digits.train_labels[:20],
        test_inputs=digits.test_inputs[:test_examples],
        test_labels=digits.test_labels[:test_examples],
    )
    task = randomize_labels(dataset, RandomKey((0,)))
    assert len(task.test_labels) == expected
    assert torch.equal(task.test_inputs, task.train_inputs[:expected])
    assert torch.equal(task.test_labels, task.train_labels[:expected])
