"""Class-incremental: which classes a task shows, and that the others take no part in the loss."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from raylot.tasks import make_task
from raylot.training.losses import hits, loss_of
from tests.unit.config.refused import refusal
from tests.unit.tasks.shifts.tiny_tasks import labelled, seeds, shifted_by

_CLASSES = 7
_DATASET = labelled(torch.arange(3 * _CLASSES) % _CLASSES, _CLASSES)


@given(seed=seeds, t=st.integers(0, 10), size=st.integers(2, 3), only_new=st.booleans())
def test_classes_accumulate_in_one_order(seed: int, t: int, size: int, only_new: bool) -> None:
    options = shifted_by("class_incremental", classes_per_task=size, new_classes_only=only_new)
    step = min(t, _CLASSES // size - 1)
    task = make_task(_DATASET, options, seed, t)
    seen = (step + 1) * size
    first = step * size if only_new else 0
    for labels in (task.train_labels, task.test_labels):
        assert sorted(labels.tolist()) == sorted([*range(first, seen)] * 3)
    assert task.classes == _CLASSES
    assert task.shown == (seen if seen < _CLASSES else None)
    # The inputs tell the original class: a label stands for the same one in every task.
    last = make_task(_DATASET, shifted_by("class_incremental", classes_per_task=size), seed, 10)
    names = dict(zip(last.train_labels.tolist(), last.train_inputs[:, 0].tolist(), strict=True))
    for label, original in zip(task.train_labels, task.train_inputs[:, 0], strict=True):
        assert names[int(label)] == original


def test_outputs_of_classes_to_come_take_no_part() -> None:
    task = make_task(_DATASET, shifted_by("class_incremental"), 0, 0)
    assert task.shown == 2
    outputs = torch.tensor([[0.0, 0.0, 9.0, 9.0, 9.0, 9.0, 9.0]], requires_grad=True)
    loss = loss_of(task, outputs, torch.tensor([1]))
    assert loss.item() == pytest.approx(math.log(2))
    (gradient,) = torch.autograd.grad(loss, outputs)
    assert gradient[0, 2:].tolist() == [0.0] * 5
    assert hits(task, outputs, torch.tensor([0])) == 1


def test_too_few_classes_to_grow_are_refused() -> None:
    dataset = labelled(torch.arange(3), 3)
    told = refusal(lambda: make_task(dataset, shifted_by("class_incremental"), 0, 0))
    assert told.startswith("classes_per_task=2: must be at most 1, half of the data set's classes")
