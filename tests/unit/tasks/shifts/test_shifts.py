"""What all shifts have in common: task t depends on data, options, seed and t alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from raylot.foundation.randomness import RandomKey
from raylot.tasks import (
    Task,
    add_noise,
    load_dataset,
    make_task,
    permute_labels,
    permute_pixels,
    select_classes,
)
from raylot.tasks.shifts import SHIFTS
from tests.unit.tasks.shifts.tiny_tasks import (
    equal,
    few_examples,
    first_examples,
    seeds,
    shifted_by,
    some_digits,
    suited,
    times,
    tiny,
)

#: Options for the tiny data sets.
_OWN: dict[str, dict[str, Any]] = {
    "bit_flipping": {"flipping_bits": 2, "flips": "one"},
    "warm_start": {"warm_tasks": 5},
}

WITH_FIRST_TASK_IDENTITY = ["permuted_pixels", "rotation", "permuted_labels", "random_labels"]


def test_the_identity_changes_nothing() -> None:
    assert equal(permute_pixels(tiny(), np.arange(4)), tiny())
    assert equal(permute_labels(tiny(), np.arange(3)), tiny())
    assert equal(select_classes(tiny(), [0, 1, 2]), tiny())
    assert equal(add_noise(tiny(), 0.0, RandomKey((0,))), tiny())


@pytest.mark.parametrize("shift", SHIFTS)
@few_examples
@given(seed=seeds, t=times)
def test_a_task_depends_on_seed_and_t_alone(shift: str, seed: int, t: int) -> None:
    options = shifted_by(shift, **_OWN.get(shift, {}))
    task = make_task(suited(shift), options, seed, t)
    key = RandomKey((seed, "shift", shift))
    assert equal(task, make_task(suited(shift), options, seed, t))
    assert equal(task, SHIFTS[shift](suited(shift), options, key, t))


#: Shifts whose tasks are the same from some task on, or that need another data set.
_SETTLED = {"stationary", "class_split", "class_incremental", "warm_start", "bit_flipping"}


@pytest.mark.parametrize("shift", sorted(set(SHIFTS) - _SETTLED))
def test_tasks_differ_along_the_stream_and_between_seeds(shift: str) -> None:
    dataset, options = load_dataset("digits"), shifted_by(shift)
    first = 1 if shift == "noise" else 0  # else task 0 is shifted too
    times = range(first, first + 4)
    seeds = (0, 1, 3)  # seed 2 begins with a rotation by 359.7 degrees, too few for 8x8 pixels
    tasks = [make_task(dataset, options, seed, t) for seed in seeds for t in times]
    assert not any(equal(dataset, task) for task in tasks)
    for i, task in enumerate(tasks):
        assert not any(equal(task, other) for other in tasks[:i])


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("t", [0, 3, 100])
def test_the_data_set_stays_as_it_was(shift: str, t: int) -> None:
    dataset = suited(shift)
    make_task(dataset, shifted_by(shift, **_OWN.get(shift, {})), 0, t)
    assert equal(dataset, suited(shift))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(3, 4, 5), (6, 4), (7,)])
@pytest.mark.parametrize("shift", sorted(set(SHIFTS) - {"bit_flipping"}))
def test_any_inputs_keep_their_shape_and_type(
    shift: str, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    if shift == "rotation" and len(shape) == 1:
        return
    inputs = torch.arange(20 * math.prod(shape)).remainder(200).view(20, *shape).to(dtype)
    labels = torch.arange(20).remainder(5)
    dataset = Task(inputs[:15], labels[:15], inputs[15:], labels[15:], 5)
    task = make_task(dataset, shifted_by(shift), 0, 4)
    assert task.train_inputs.dtype == task.test_inputs.dtype == dtype
    assert task.train_inputs.shape[1:] == task.test_inputs.shape[1:] == shape
    assert task.train_labels.dtype == task.test_labels.dtype == torch.int64
    assert len(task.train_inputs) == len(task.train_labels)
    assert len(task.test_inputs) == len(task.test_labels)


@pytest.mark.parametrize("shift", sorted(set(SHIFTS) - {"bit_flipping"}))
def test_mnist_can_be_shifted(shift: str, mnist_root: Path) -> None:
    dataset = first_examples(load_dataset("mnist", root=mnist_root), 30)
    task = make_task(dataset, shifted_by(shift, **_OWN.get(shift, {})), 0, 1)
    assert task.input_shape == (1, 28, 28)
    assert equal(task, dataset) == (shift == "stationary")


@pytest.mark.parametrize("shift", SHIFTS)
@few_examples
@given(seed=seeds, t=times, period=st.integers(1, 20))
def test_a_period_starts_the_stream_over(shift: str, seed: int, t: int, period: int) -> None:
    own = _OWN.get(shift, {})
    recurring = make_task(suited(shift), shifted_by(shift, period=period, **own), seed, t)
    assert equal(recurring, make_task(suited(shift), shifted_by(shift, **own), seed, t % period))


@pytest.mark.parametrize("shift", SHIFTS)
def test_the_first_task_can_be_the_data_set_itself(shift: str) -> None:
    dataset, own = some_digits(), _OWN.get(shift, {})
    if shift == "bit_flipping":
        dataset = suited(shift)
    options = shifted_by(shift, first_task_identity=True, period=3, **own)
    plain = shifted_by(shift, **own)
    expected = dataset if shift in WITH_FIRST_TASK_IDENTITY else make_task(dataset, plain, 5, 0)
    assert equal(make_task(dataset, options, 5, 0), expected)
    assert equal(make_task(dataset, options, 5, 3), expected)
    assert equal(make_task(dataset, options, 5, 2), make_task(dataset, plain, 5, 2))


@given(seed=seeds, t=times)
def test_stationary_is_the_data_set(seed: int, t: int) -> None:
    assert equal(make_task(tiny(), shifted_by("stationary"), seed, t), tiny())


def test_task_0_of_seed_0_is_pinned() -> None:
    # Drawn once and written down: if it changes, no old result can be reproduced any more.
    image = torch.arange(8).reshape(1, 1, 2, 4)
    label = torch.arange(8)
    dataset = Task(image.expand(8, -1, -1, -1), label, image, label[:1], 8)
    pixels = make_task(dataset, shifted_by("permuted_pixels"), 0, 0).test_inputs
    assert pixels.flatten().tolist() == [1, 2, 5, 4, 3, 6, 7, 0]
    labels = make_task(dataset, shifted_by("permuted_labels"), 0, 0).train_labels
    assert labels.tolist() == [6, 3, 2, 1, 7, 4, 0, 5]
