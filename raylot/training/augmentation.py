"""Random changes of training images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from raylot.config import OptimizerOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.randomness import RandomKey


def check_images(options: OptimizerOptions, shape: tuple[int, ...]) -> None:
    """Makes sure that inputs of a shape can be changed as options say.

    Raises:
        OptionError: they are no images, or the padding is wider than they are.
    """
    if options.augment == "none":
        return
    if len(shape) < 2:
        raise OptionError(
            f"augment={options.augment}: must be none for inputs of shape {shape}; others accept "
            "images, (..., height, width)"
        )
    if "crop" in options.augment and options.crop_padding > min(shape[-2:]):
        raise OptionError(
            f"crop_padding={options.crop_padding}: must be at most {min(shape[-2:])}, the smaller "
            "side of the images"
        )


@dataclass(frozen=True)
class Augmentation:
    """How each image of an epoch is changed.

    Attributes:
        mirrored: which images are mirrored left to right: boolean, one for each.
        down: first row of each image's cut in the padded image, in [0, 2 padding]; int64.
        right: first column of it, likewise.
        padding: pixels of value 0 on each side.
    """

    mirrored: Tensor
    down: Tensor
    right: Tensor
    padding: int

    @classmethod
    def drawn(
        cls, options: OptimizerOptions, key: RandomKey, images: int, device: torch.device
    ) -> Self:
        """Draws the changes of so many images; the key alone decides them."""
        generator = key.generator()
        padding = options.crop_padding if "crop" in options.augment else 0
        mirrored = (generator.random(images) < 0.5) & ("flip" in options.augment)
        down, right = generator.integers(0, 2 * padding, (2, images), endpoint=True)
        parts = [torch.from_numpy(drawn).to(device) for drawn in (mirrored, down, right)]
        return cls(parts[0], parts[1], parts[2], padding)

    def __getitem__(self, places: slice | Tensor) -> Augmentation:
        """Returns the changes of some of the images."""
        return Augmentation(
            self.mirrored[places], self.down[places], self.right[places], self.padding
        )

    def of(self, images: Tensor) -> Tensor:
        """Returns the images changed, one after the other.

        Args:
            images: as stored, ``examples x ... x height x width``, of any type.
        """
        height, width = images.shape[-2:]
        channels = images.reshape(len(images), -1, height, width)
        padded = F.pad(channels, [self.padding] * 4)
        rows = torch.arange(height, device=images.device) + self.down[:, None]
        columns = torch.arange(width, device=images.device)
        columns = torch.where(self.mirrored[:, None], columns.flip(0), columns)
        columns = columns + self.right[:, None]
        example = torch.arange(len(images), device=images.device)[:, None, None]
        cut = padded[example, :, rows[:, :, None], columns[:, None, :]]
        return cut.movedim(-1, 1).reshape(images.shape)
