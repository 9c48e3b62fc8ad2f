"""Permuted labels by hand; classes keep their examples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given

from raylot.tasks import load_dataset, make_task, permute_labels
from tests.unit.tasks.shifts.tiny_tasks import few_examples, seeds, shifted_by, times, tiny


def test_labels_by_hand() -> None:
    task = permute_labels(tiny(), torch.tensor([2, 0, 1]))
    assert task.train_labels.tolist() == [2, 0, 1]
    assert task.test_labels.tolist() == [0]
    assert torch.equal(task.train_inputs, tiny().train_inputs)
    assert torch.equal(task.test_inputs, tiny().test_inputs)
    assert (task.classes, task.offset, task.divisor) == (3, 2.0, 4.0)


@pytest.mark.parametrize("wrong", [[0, 1], [0, 1, 2, 3], [0, 0, 1], [1, 2, 3], [-1, 0, 1]])
def test_wrong_permutations_of_labels_are_refused(wrong: list[int]) -> None:
    with pytest.raises(ValueError, match="permutation: must hold each of 0 to 2 once"):
        permute_labels(tiny(), np.array(wrong))


@few_examples
@given(seed=seeds, t=times)
def test_permuted_labels_keep_their_counts_up_to_names(seed: int, t: int) -> None:
    dataset = load_dataset("digits")
    task = make_task(dataset, shifted_by("permuted_labels"), seed, t)
    names: dict[int, int] = dict(
        zip(dataset.train_labels.tolist(), task.train_labels.tolist(), strict=True)
    )
    assert sorted(names.values()) == list(range(10))
    for split in ("train_labels", "test_labels"):
        before, after = getattr(dataset, split), getattr(task, split)
        assert [names[label] for label in before.tolist()] == after.tolist()
        assert after.bincount().sort().values.tolist() == before.bincount().sort().values.tolist()
    assert torch.equal(task.train_inputs, dataset.train_inputs)
