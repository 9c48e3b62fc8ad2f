"""Warm start: how many examples a task shows, that they accumulate, and that all come at last."""

from __future__ import annotations

import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st

from raylot.tasks import Task, make_task
from tests.unit.tasks.shifts.tiny_tasks import labelled, seeds, shifted_by

#: 40 examples, each with a number of its own.
_DATASET = labelled(torch.arange(40), 40)


def shown(task: Task) -> set[int]:
    assert task.train_inputs[:, 0].tolist() == task.train_labels.tolist()
    return set(task.train_labels.tolist())


@given(seed=seeds)
def test_half_of_the_examples_and_then_all(seed: int) -> None:
    tasks = [make_task(_DATASET, shifted_by("warm_start"), seed, t) for t in range(3)]
    assert [len(shown(task)) for task in tasks] == [20, 40, 40]
    assert all(len(task.test_labels) == 40 for task in tasks)


@given(seed=seeds, share=st.sampled_from([0.1, 0.3]), steps=st.integers(1, 9))
def test_the_share_grows_in_equal_steps(seed: int, share: float, steps: int) -> None:
    options = shifted_by("warm_start", warm_share=share, warm_tasks=steps)
    parts = [shown(make_task(_DATASET, options, seed, t)) for t in range(steps + 1)]
    counts = [round(40 * (share + (1 - share) * t / steps)) for t in range(steps)]
    assert [len(part) for part in parts] == [*counts, 40]
    assert all(a <= b for a, b in itertools.pairwise(parts))


def test_seeds_begin_with_other_examples() -> None:
    first, second = (make_task(_DATASET, shifted_by("warm_start"), seed, 0) for seed in (0, 1))
    assert shown(first) != shown(second)
