"""Shift types: what turns one data set into a stream of tasks.

A shift is a function ``(data set, options, key, t) -> task``. Task t depends on data set, options,
key and t alone, so any task can be made without making the ones before it. All draws are made on
the CPU, so that a seed means the same stream on every device.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from raylot.config import ShiftOptions
from raylot.foundation import registry
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.tasks.task import Task

#: Images rotated or corrupted at once, to bound memory. The noise drawn depends on it.
IMAGES_PER_BLOCK = 2048

Shift = Callable[[Task, ShiftOptions, RandomKey, int], Task]


def make_task(dataset: Task, options: ShiftOptions, seed: int, t: int) -> Task:
    """Task t of the stream that a data set, a shift type with its options and a seed define.

    Args:
        dataset: any task; left unchanged. Where nothing changes, the new task shares its tensors.
        options: the shift type and how far its tasks differ. With a ``period``, task t is task
            ``t mod period``. ``gradual`` is left to training.
        seed: decides every draw.
        t: number of the task, from 0.

    Returns:
        A task on the same device. All tasks of a stream have the same input shape and number of
        classes: ``classes_per_task`` for class_split, else the data set's.

    Raises:
        OptionError: the shift cannot be applied to such data.
        TypeError: the shift is a plugin's and returned no task.
    """
    if options.period:
        t %= options.period
    key = RandomKey((seed, "shift", options.shift))
    if options.shift in SHIFTS:
        return SHIFTS[options.shift](dataset, options, key, t)
    shift: Shift = registry.get("shift", options.shift)
    # All runs on a node share the data set: a user's function gets a copy, and draws of its own.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(key.child("torch", t).torch_seed())
        task = shift(_copied(dataset), options, key, t)
    registry.check_returned("shift", options.shift, task, Task)
    return task


def _copied(task: Task) -> Task:
    return replace(
        task,
        train_inputs=task.train_inputs.clone(),
        train_labels=task.train_labels.clone(),
        test_inputs=task.test_inputs.clone(),
        test_labels=task.test_labels.clone(),
    )


# ------------------------------------------------------------------ what is done to one task


def permute_pixels(task: Task, permutation: Tensor | np.ndarray) -> Task:
    """Reorders the pixels of every image: new pixel i is old pixel ``permutation[i]``.

    Args:
        task: images of any shape; they are permuted as if flattened, and keep their shape.
        permutation: ``pixels``, each of 0 ... pixels - 1 once.

    Raises:
        ValueError: it is no such permutation.
    """
    index = _permutation(permutation, math.prod(task.input_shape), task.train_inputs.device)

    def permuted(images: Tensor) -> Tensor:
        flat = images.flatten(1)
        if images.device.type == "cpu":  # where numpy is several times as fast
            taken = torch.from_numpy(flat.numpy().take(index.numpy(), axis=1))
        else:
            taken = flat[:, index]
        return taken.view(images.shape)

    return map_inputs(task, permuted)


def permute_labels(task: Task, permutation: Tensor | np.ndarray) -> Task:
    """Renames the classes: label y becomes ``permutation[y]``.

    Args:
        task: any task.
        permutation: ``classes``, each of 0 ... classes - 1 once.

    Raises:
        ValueError: it is no such permutation.
    """
    index = _permutation(permutation, task.classes, task.train_labels.device)
    return replace(task, train_labels=index[task.train_labels], test_labels=index[task.test_labels])


def rotate(task: Task, degrees: float) -> Task:
    """Turns every image counter-clockwise about its centre, by bilinear interpolation.

    What comes in from outside the image is 0. Integer inputs are rounded. Multiples of 180
    degrees, and of 90 degrees for square images, are exact: pixels only change places. Other
    angles can differ between CPU and GPU by rounding.

    Args:
        task: inputs of ``... x height x width``.
        degrees: any number.

    Raises:
        OptionError: the inputs are no images.
    """
    if len(task.input_shape) < 2:
        raise OptionError(
            "shift=rotation: must be another shift for inputs of shape "
            f"{task.input_shape}; rotation accepts images, (..., height, width)"
        )
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2.functional import rotate_image

    def turned(images: Tensor) -> Tensor:
        blocks = images.flatten(0, -3).split(IMAGES_PER_BLOCK)
        bilinear = InterpolationMode.BILINEAR
        return torch.cat([rotate_image(b, degrees, bilinear) for b in blocks]).view(images.shape)

    return map_inputs(task, turned)


def randomize_labels(task: Task, key: RandomKey) -> Task:
    """Training labels that have nothing to do with the images (Zhang et al. 2017).

    Each is drawn uniformly from all classes. As nothing can be learnt about other images, the
    test split becomes the first training images (as many as there were test images) with their
    random labels: test accuracy tells how much of the training split is memorised.
    """
    labels = torch.from_numpy(
        key.generator().integers(task.classes, size=len(task.train_labels))
    ).to(task.train_labels.device)
    examined = len(task.test_labels)
    return replace(
        task,
        train_labels=labels,
        test_inputs=task.train_inputs[:examined],
        test_labels=labels[:examined],
    )


def select_classes(task: Task, chosen: Sequence[int] | np.ndarray) -> Task:
    """Only the examples of some classes, in their order; class ``chosen[i]`` becomes label i.

    Args:
        task: any task.
        chosen: different classes of the task.

    Raises:
        OptionError: a split has no example of them.
    """
    device = task.train_labels.device
    new_label = torch.full((task.classes,), -1, device=device)
    new_label[torch.as_tensor(chosen, device=device)] = torch.arange(len(chosen), device=device)
    train_labels, test_labels = new_label[task.train_labels], new_label[task.test_labels]
    in_train, in_test = train_labels >= 0, test_labels >= 0
    if not (in_train.any() and in_test.any()):
        raise OptionError(
            f"classes {[int(label) for label in chosen]}: must have training and test examples, as "
            "they are to be one task"
        )
    return replace(
        task,
        train_inputs=task.train_inputs[in_train],
        train_labels=train_labels[in_train],
        test_inputs=task.test_inputs[in_test],
        test_labels=test_labels[in_test],
        classes=len(chosen),
    )


def add_noise(task: Task, share: float, key: RandomKey) -> Task:
    """Replaces ``round(share * pixels)`` pixels of each image, chosen anew for each, by noise.

    Args:
        task: images of any shape.
        share: of the pixels, in [0, 1].
        key: decides which pixels, and their values: uniform over the training inputs' range, which
            is 0 to 16 for digits and 0 to 255 for MNIST, both included; whole numbers, unless the
            inputs are floating-point.
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


def map_inputs(task: Task, change: Callable[[Tensor], Tensor]) -> Task:
    """The same task with other inputs.

    Args:
        task: any task.
        change: from the inputs of a split, ``examples x ...``, to as many new ones of the same
            type; it must not write into them.
    """
    return replace(
        task, train_inputs=change(task.train_inputs), test_inputs=change(task.test_inputs)
    )


def _permutation(values: Tensor | np.ndarray, size: int, device: torch.device) -> Tensor:
    index = torch.as_tensor(values, dtype=torch.int64).to(device)
    if not torch.equal(index.sort().values, torch.arange(size, device=device)):
        raise ValueError(f"permutation: must hold each of 0 to {size - 1} once")
    return index


# ------------------------------------------------------------------ what is done to task t


def _with_first_task_identity(shift: Shift) -> Shift:
    """The same shift, but for task 0 if ``first_task_identity`` is asked for."""

    @functools.wraps(shift)
    def shifted(dataset: Task, options: ShiftOptions, key: RandomKey, t: int) -> Task:
        if t == 0 and options.first_task_identity:
            return dataset
        return shift(dataset, options, key, t)

    return shifted


@_with_first_task_identity
def _permuted_pixels(dataset: Task, options: ShiftOptions, key: RandomKey, t: int) -> Task:
    """Random pixels, ``round(fraction * pixels)`` of them, change places at random.

    As in any permutation, some may stay where they are. Each task draws both anew (Goodfellow et
    al. 2014).
    """
    pixels = math.prod(dataset.input_shape)
    shuffled = key.child("pixels", t).generator().permutation(pixels)
    chosen = shuffled[: round(options.fraction * pixels)]
    permutation = np.arange(pixels)
    permutation[np.sort(chosen)] = chosen
    return permute_pixels(dataset, permutation)


@_with_first_task_identity
def _rotation(dataset: Task, options: ShiftOptions, key: RandomKey, t: int) -> Task:
    """A new angle for every task, uniform in [0, rotation_range) degrees."""
    return rotate(dataset, options.rotation_range * key.child("angle", t).generator().random())


@_with_first_task_identity
def _permuted_labels(dataset: Task, options: ShiftOptions, key: RandomKey, t: int) -> Task:
    """A new random permutation of the classes for every task."""
    return permute_labels(dataset, key.child("labels", t).generator().permutation(dataset.classes))


@_with_first_task_identity
def _random_labels(dataset: Task, options: ShiftOptions, key: RandomKey, t: int) -> Task:
    """New random labels for every task; scored by memorisation, see `randomize_labels`.

    A task 0 that is the data set itself keeps its own test split.
    """
    return randomize_labels(dataset, key.child("labels", t))


def _class_split(dataset: Task, options: ShiftOptions, key: RandomKey, t: int) -> Task:
    """Classes are split at random into groups of classes_per_task, one group per task.

    When every group has had its turn, a new random split begins a new cycle. Classes that fill no
    group (one of ten, for groups of three) sit out that cycle.
    """
    size = options.classes_per_task
    if size > dataset.classes:
        raise OptionError(
            f"classes_per_task={size}: must be at most {dataset.classes}, the data set's classes"
        )
    cycle, group = divmod(t, dataset.classes // size)
    order = key.child("classes", cycle).generator().permutation(dataset.classes)
    return select_classes(dataset, order[group * size : (group + 1) * size])


def _noise(dataset: Task, options: ShiftOptions, key: RandomKey, t: int) -> Task:
    """Task t has a share ``min(1, t * noise_step)`` of each image's pixels replaced by noise.

    So task 0 is the data set itself. The noise is drawn anew for every task.
    """
    return add_noise(dataset, min(1.0, t * options.noise_step), key.child("noise", t))


def _stationary(dataset: Task, options: ShiftOptions, key: RandomKey, t: int) -> Task:
    """The data set itself, for ever: the control."""
    return dataset


SHIFTS: dict[str, Shift] = {
    "permuted_pixels": _permuted_pixels,
    "rotation": _rotation,
    "permuted_labels": _permuted_labels,
    "random_labels": _random_labels,
    "class_split": _class_split,
    "noise": _noise,
    "stationary": _stationary,
}
