"""Noise: every task hides more pixels of each image."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from raylot.config import ShiftOptions
from raylot.foundation.randomness import RandomKey
from raylot.tasks.task import Task

#: Images corrupted at once, to bound memory. The noise drawn depends on this number.
IMAGES_PER_BLOCK = 2048


def make(dataset: Task, options: ShiftOptions, key: RandomKey, t: int) -> Task:
    """Replaces a share ``min(1, t * noise_step)`` of each image's pixels by noise.

    So task 0 is the data set itself. Every task draws new noise.
    """
    return add_noise(dataset, min(1.0, t * options.noise_step), key.child("noise", t))


def add_noise(task: Task, share: float, key: RandomKey) -> Task:
    """Replaces ``round(share * pixels)`` random pixels of each image by noise.

    Args:
        task: images of any shape.
        share: share of the pixels, in [0, 1].
        key: decides which pixels, anew for each image, and their values. These are uniform over
            the training inputs' range (0 to 16 for digits, 0 to 255 for MNIST, both included);
            whole numbers, unless the inputs are floating-point.
    """
    count = round(share * math.prod(task.input_shape))
    if count == 0:
        return task
    low, high = task.train_inputs.min().item(), task.train_inputs.max().item()
    return replace(
        task,
        train_inputs=_noisy(task.train_inputs, count, low, high, key.child("train")),
        test_inputs=_noisy(task.test_inputs, count, low, high, key.child("test")),
    )


def _noisy(images: Tensor, count: int, low: float, high: float, key: RandomKey) -> Tensor:
    noisy = images.clone(memory_format=torch.contiguous_format)
    for block, pixels in enumerate(noisy.flatten(1).split(IMAGES_PER_BLOCK)):
        generator = key.child(block).generator()
        replaced = np.zeros(pixels.shape, dtype=bool)
        replaced[:, :count] = True
        generator.permuted(replaced, axis=1, out=replaced)
        size = (len(pixels), count)
        values = (
            generator.uniform(low, high, size)
            if images.is_floating_point()
            else generator.integers(int(low), int(high), size, endpoint=True)
        )
        pixels.masked_scatter_(
            torch.from_numpy(replaced).to(images.device),
            torch.from_numpy(values).to(images.device, images.dtype),
        )
    return noisy
