"""Bit flipping: which bits are constant, what flips, and the targets by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from raylot.datasets._threshold_network import threshold_targets
from raylot.tasks import Task, load_dataset, make_task
from tests.unit.config.refused import refusal
from tests.unit.tasks.shifts.tiny_tasks import few_examples, seeds, shifted_by, tiny


def made(t: int, seed: int = 0, **options: Any) -> Task:
    dataset = load_dataset("slowly_changing_regression", train_examples=50)
    return make_task(dataset, shifted_by("bit_flipping", **options), seed, t)


def shared_bits(task: Task, count: int = 15) -> list[int]:
    """The bits that all examples of a task share."""
    first = task.train_inputs[0, :count]
    for inputs in (task.train_inputs, task.test_inputs):
        assert bool((inputs[:, :count] == first).all())
    return list(map(int, first))


@few_examples
@given(seed=seeds, t=st.integers(0, 10**6), count=st.integers(1, 20))
def test_examples_of_a_task_share_the_flipping_bits_alone(seed: int, t: int, count: int) -> None:
    task = made(t, seed, flipping_bits=count)
    shared_bits(task, count)
    assert task.train_inputs.max() <= 1
    if count < 20:  # 50 equal bits would be a coincidence of 1 in 2 ** 49
        assert bool((task.train_inputs[:, count:].float().std(0) > 0).all())


@few_examples
@given(seed=seeds, t=st.integers(0, 10**5))
def test_one_bit_flips_from_task_to_task(seed: int, t: int) -> None:
    before, after = (shared_bits(made(at, seed, flips="one")) for at in (t, t + 1))
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


def test_all_flipping_bits_are_drawn_anew() -> None:
    drawn = np.array([shared_bits(made(t)) for t in range(40)])
    changed = (drawn[1:] != drawn[:-1]).mean()
    assert 0.4 < changed < 0.6  # 585 fair coins


def test_other_bits_are_drawn_anew_for_each_task_and_split() -> None:
    first, second = made(0), made(1)
    assert not torch.equal(first.train_inputs[:, 15:], second.train_inputs[:, 15:])
    assert not torch.equal(first.train_inputs[:50, 15:], first.test_inputs[:50, 15:])


def test_tasks_of_a_seed_share_the_network_of_the_targets() -> None:
    """The same input comes again, with the same target; another seed has another network."""
    targets: dict[int, dict[tuple[int, ...], set[float]]] = {0: {}, 1: {}}
    for seed, known in targets.items():
        for t in range(5):  # of 10,250 inputs, of at most 5 x 256 values, most come again
            task = made(t, seed, flipping_bits=12, flips="one")
            inputs = torch.cat([task.train_inputs, task.test_inputs])
            labels = torch.cat([task.train_labels, task.test_labels])
            for x, y in zip(inputs.tolist(), labels.tolist(), strict=True):
                known.setdefault(tuple(x), set()).update(y)
    assert all(len(values) == 1 for known in targets.values() for values in known.values())
    first, second = (sorted(max(values) for values in known.values()) for known in targets.values())
    assert first != second


def test_targets_by_the_authors_formula() -> None:
    """Computed unit by unit, with the draws in the order of the function."""
    bits = np.random.default_rng(1).integers(2, size=(30, 20))
    found = threshold_targets(bits, np.random.default_rng(2))
    draws = np.random.default_rng(2)
    signs = [draws.integers(2, size=size) * 2 - 1 for size in ((100, 20), 100, (100, 1), 1)]
    weights, biases, outgoing, bias = signs
    for x, y in zip(bits, found, strict=True):
        total = float(bias[0])
        for unit in range(100):
            negative = (20 - weights[unit].sum() + biases[unit]) / 2
            if weights[unit] @ x + biases[unit] > 0.7 * 21 - negative:
                total += float(outgoing[unit, 0])
        assert y[0] == total
    assert found.dtype == np.float32


def test_the_data_set_is_pinned() -> None:
    task = load_dataset("slowly_changing_regression")
    assert (task.classes, task.outputs, task.input_shape) == (None, 1, (20,))
    assert (len(task.train_labels), len(task.test_labels)) == (10_000, 2_000)
    assert float(task.train_labels.mean()) == pytest.approx(1.3507, abs=1e-4)


def test_other_data_are_refused() -> None:
    told = refusal(lambda: make_task(tiny(), shifted_by("bit_flipping"), 0, 0))
    assert told.startswith("shift=bit_flipping: must go with dataset slowly_changing_regression")
