"""Noise rises by whole pixels, and is uniform."""

from __future__ import annotations

import math

import pytest
import torch

from raylot.foundation.randomness import RandomKey
from raylot.tasks import add_noise, load_dataset, make_task
from tests.unit.tasks.shifts.tiny_tasks import black_and_white, shifted_by


@pytest.mark.parametrize(
    ("t", "step", "replaced"),
    [(0, 0.02, 0), (1, 0.02, 1), (10, 0.02, 13), (10, 0.05, 32), (50, 0.02, 64), (999, 0.02, 64)],
)
def test_noise_rises_by_whole_pixels_of_each_image(t: int, step: float, replaced: int) -> None:
    dataset = black_and_white(images=30, pixels=64)
    task = make_task(dataset, shifted_by("noise", noise_step=step), 0, t)
    for split in ("train_inputs", "test_inputs"):
        before, after = getattr(dataset, split), getattr(task, split)
        assert set((after != before).sum(1).tolist()) == {replaced}
        assert 0 <= float(after.min()) <= float(after.max()) <= 1
    assert torch.equal(task.train_labels, dataset.train_labels)
    assert torch.equal(task.test_labels, dataset.test_labels)


def test_each_image_has_its_own_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raylot.tasks.shifts.noise.IMAGES_PER_BLOCK", 10)
    dataset = black_and_white(images=1000, pixels=8)
    task = add_noise(dataset, 0.5, RandomKey((0,)))
    noise = [
        replaced.tolist()
        for before, after in (
            (dataset.train_inputs, task.train_inputs),
            (dataset.test_inputs, task.test_inputs),
        )
        for replaced in after[after != before].split(4)
    ]
    assert len({tuple(values) for values in noise}) == 1500
    # each pixel is replaced in half of the images, with a deviation of sqrt(0.25 / 1000) = 0.016
    share = (task.train_inputs != dataset.train_inputs).double().mean(0)
    assert share.numpy() == pytest.approx(0.5, abs=4 * 0.016)


def test_noise_is_uniform_over_the_data_sets_values() -> None:
    digits = load_dataset("digits")
    noise = add_noise(digits, 1.0, RandomKey((0,))).train_inputs
    assert noise.dtype == torch.uint8
    pixels = 1437 * 64
    deviation = math.sqrt(pixels * 1 / 17 * 16 / 17)
    counts = noise.flatten().bincount().numpy()
    assert len(counts) == 17
    assert counts == pytest.approx(pixels / 17, abs=4 * deviation)
