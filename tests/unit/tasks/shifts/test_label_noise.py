"""Label noise: how many training labels may change, in which tasks, and that test labels stay."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from raylot.tasks import make_task
from tests.unit.tasks.shifts.tiny_tasks import equal, few_examples, labelled, seeds, shifted_by

_DATASET = labelled(torch.arange(2000) % 4, 4)


@few_examples
@given(seed=seeds, t=st.integers(0, 10**6), share=st.sampled_from([0.1, 0.5, 1.0]))
def test_a_share_of_the_training_labels_is_random(seed: int, t: int, share: float) -> None:
    task = make_task(_DATASET, shifted_by("label_noise", noisy_share=share), seed, t)
    changed = int((task.train_labels != _DATASET.train_labels).sum())
    # Of the replaced labels 3 in 4 are others; 6 standard deviations of a binomial number.
    replaced = 2000 * share
    assert changed <= replaced
    assert abs(changed - 0.75 * replaced) < 6 * (replaced * 0.75 * 0.25) ** 0.5
    assert torch.equal(task.test_labels, _DATASET.test_labels)
    assert torch.equal(task.train_inputs, _DATASET.train_inputs)


def test_labels_are_drawn_anew_for_each_task() -> None:
    first, second = (make_task(_DATASET, shifted_by("label_noise"), 0, t) for t in (0, 1))
    noisy = [task.train_labels != _DATASET.train_labels for task in (first, second)]
    assert not torch.equal(noisy[0], noisy[1])


def test_noise_of_the_first_task_alone() -> None:
    options = shifted_by("label_noise", noisy_tasks="first")
    assert not equal(make_task(_DATASET, options, 0, 0), _DATASET)
    assert all(equal(make_task(_DATASET, options, 0, t), _DATASET) for t in (1, 9))
