"""Permuted pixels: every task reorders the pixels of all images."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from raylot.config import ShiftOptions
from raylot.foundation.randomness import RandomKey
from raylot.tasks.shifts._permutation import permutation_index
from raylot.tasks.task import Scale, Task

#: Compounded permutations that were made last, by their stream and task: the next task needs no
#: others. A gradual change needs those of two tasks.
_compounds: dict[tuple[object, int], np.ndarray] = {}
_MOST_KEPT = 2


def make(dataset: Task, options: ShiftOptions, key: RandomKey, t: int) -> Task:
    """Permutes ``round(fraction * pixels)`` random pixels at random (Goodfellow et al. 2014).

    Each task draws anew which pixels, and how. As in any permutation, some may keep their place.
    A pixel of a colour image moves with all its channels.

    With ``compounding``, a task permutes the pixels of the task before, as Dohare et al. (2024) do
    (lop/permuted_mnist/online_expr.py of shibhansh/loss-of-plasticity). With the fraction 1 such
    tasks are distributed as the others are; with a smaller one they change little by little. Task
    t composes the permutations of all tasks up to it, and begins with the last one that is kept.
    """
    if t == 0 and options.first_task_identity:
        return dataset
    pixels = math.prod(dataset.input_shape[-2:])
    if options.compounding:
        first = int(options.first_task_identity)
        return permute_pixels(dataset, _compounded(pixels, options.fraction, key, first, t))
    return permute_pixels(dataset, _drawn(pixels, options.fraction, key, t))


def _drawn(pixels: int, fraction: float, key: RandomKey, t: int) -> np.ndarray:
    """Returns the permutation that task t draws."""
    shuffled = key.child("pixels", t).generator().permutation(pixels)
    chosen = shuffled[: round(fraction * pixels)]
    permutation = np.arange(pixels)
    permutation[np.sort(chosen)] = chosen
    return permutation


def _compounded(pixels: int, fraction: float, key: RandomKey, first: int, t: int) -> np.ndarray:
    """Returns the permutations of the tasks ``first`` to t, one after another."""
    stream = (pixels, fraction, key, first)
    start = max((u for known, u in list(_compounds) if known == stream and u <= t), default=None)
    permutation, begin = np.arange(pixels), first
    if start is not None and (found := _compounds.get((stream, start))) is not None:
        permutation, begin = found, start + 1
    for later in range(begin, t + 1):
        permutation = permutation[_drawn(pixels, fraction, key, later)]
    _compounds.pop((stream, t), None)
    _compounds[stream, t] = permutation
    for old in list(_compounds)[:-_MOST_KEPT]:
        _compounds.pop(old, None)
    return permutation


def permute_pixels(task: Task, permutation: Tensor | np.ndarray) -> Task:
    """Reorders the pixels of every image: new pixel i is old pixel ``permutation[i]``.

    Args:
        task: images, ``... x height x width``, whose channels are permuted alike, or ``features``;
            they keep their shape.
        permutation: ``pixels``, each of 0 ... pixels - 1 once.

    Raises:
        ValueError: ``permutation`` is not of this kind.
    """
    places = task.input_shape[-2:]
    index = permutation_index(permutation, math.prod(places), task.train_inputs.device)

    def permuted(images: Tensor) -> Tensor:
        flat = images.flatten(-len(places))
        if images.device.type == "cpu":  # numpy is several times as fast here
            taken = torch.from_numpy(flat.numpy().take(index.numpy(), axis=-1))
        else:
            taken = flat[..., index]
        return taken.view(images.shape)

    def along(scale: Scale) -> Scale:
        """Features are channels too: each takes its own scale along."""
        if isinstance(scale, tuple) and len(task.input_shape) == 1:
            return tuple(scale[i] for i in index.tolist())
        return scale

    return replace(
        task,
        train_inputs=permuted(task.train_inputs),
        test_inputs=permuted(task.test_inputs),
        offset=along(task.offset),
        divisor=along(task.divisor),
    )
