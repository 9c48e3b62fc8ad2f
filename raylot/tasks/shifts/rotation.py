"""Rotation: every task turns all images by one angle."""

from __future__ import annotations

import torch
from torch import Tensor

from raylot.config import ShiftOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey
from raylot.tasks.task import Task, map_inputs

#: Images rotated at once, to bound memory.
IMAGES_PER_BLOCK = 2048


def make(dataset: Task, options: ShiftOptions, key: RandomKey, t: int) -> Task:
    """Turns all images by a new angle, uniform in [0, rotation_range) degrees."""
    if t == 0 and options.first_task_identity:
        return dataset
    return rotate(dataset, options.rotation_range * key.child("angle", t).generator().random())


def rotate(task: Task, degrees: float) -> Task:
    """Turns every image counter-clockwise about its centre, by bilinear interpolation.

    Pixels from outside the image are 0. Integer inputs are rounded. Multiples of 180
    degrees, and of 90 degrees for square images, are exact: pixels only change places. Other
    angles can differ between CPU and GPU by rounding.

    Args:
        task: inputs of ``... x height x width``.
        degrees: any number.

    Raises:
        OptionError: the inputs are not images.
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
