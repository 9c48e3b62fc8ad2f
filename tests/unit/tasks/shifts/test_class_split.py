"""Selected classes by hand; each class has its turn."""

from __future__ import annotations

import pytest
import torch

from raylot.foundation.errors import OptionError
from raylot.tasks import make_task, select_classes
from tests.unit.tasks.shifts.tiny_tasks import labelled, shifted_by, tiny


def test_selected_classes_by_hand() -> None:
    task = select_classes(tiny(), [2, 1])
    assert torch.equal(task.train_inputs, tiny().train_inputs[1:])
    assert task.train_labels.tolist() == [1, 0]
    assert torch.equal(task.test_inputs, tiny().test_inputs)
    assert task.test_labels.tolist() == [1]
    assert (task.classes, task.offset, task.divisor) == (2, 2.0, 4.0)
    with pytest.raises(OptionError, match=r"classes \[0\]: must have training and test examples"):
        select_classes(tiny(), [0])


@pytest.mark.parametrize("chosen", [[1, 1], [1, 3], [-1, 1]])
def test_classes_that_are_none_of_the_task_or_come_twice_are_refused(chosen: list[int]) -> None:
    with pytest.raises(OptionError, match="must be different ones from 0 to 2"):
        select_classes(tiny(), chosen)


def test_more_classes_than_there_are_cannot_be_split_off() -> None:
    with pytest.raises(OptionError, match="classes_per_task=4: must be at most 3"):
        make_task(tiny(), shifted_by("class_split", classes_per_task=4), 0, 0)


@pytest.mark.parametrize(("size", "groups"), [(2, 5), (3, 3), (4, 2), (5, 2), (6, 1), (10, 1)])
@pytest.mark.parametrize("cycle", [0, 1, 7])
def test_each_class_has_its_turn_once_per_cycle(size: int, groups: int, cycle: int) -> None:
    dataset = labelled(torch.arange(30) % 10, 10)
    options = shifted_by("class_split", classes_per_task=size)
    seen: list[int] = []
    for t in range(cycle * groups, (cycle + 1) * groups):
        task = make_task(dataset, options, 0, t)
        names = dict(
            zip(task.train_inputs.flatten().tolist(), task.train_labels.tolist(), strict=True)
        )
        assert sorted(names.values()) == list(range(size))
        assert task.classes == size
        assert len(task.train_labels) == 3 * size
        assert [names[x] for x in task.test_inputs.flatten().tolist()] == task.test_labels.tolist()
        seen += names
    assert len(set(seen)) == len(seen) == groups * size


def test_every_cycle_splits_anew() -> None:
    dataset = labelled(torch.arange(10), 10)
    options = shifted_by("class_split", classes_per_task=3)
    cycles = [
        frozenset(
            frozenset(make_task(dataset, options, 0, t).train_inputs.flatten().tolist())
            for t in range(3 * cycle, 3 * cycle + 3)
        )
        for cycle in range(100)
    ]
    # There are 10! / 3!^3 / 3! = 2800 splits; and each class is the one left over one day.
    assert len(set(cycles)) > 90
    left_over = {frozenset(range(10)).difference(*cycle) for cycle in cycles}
    assert left_over == {frozenset({label}) for label in range(10)}
