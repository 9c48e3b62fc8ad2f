"""A user's own data sets, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def own_arrays(
    classes: int = 3, train: int = 12, test: int = 6, shape: tuple[int, ...] = (4, 5, 3)
) -> dict[str, np.ndarray]:
    """Random uint8 inputs of a shape, class by class, with equally many of each class."""
    random = np.random.default_rng(0)
    return {
        "x_train": random.integers(0, 256, (train, *shape), dtype=np.uint8),
        "y_train": np.repeat(np.arange(classes), train // classes),
        "x_test": random.integers(0, 256, (test, *shape), dtype=np.uint8),
        "y_test": np.repeat(np.arange(classes), test // classes),
    }


def write_npz(path: Path, **changed: Any) -> Path:
    """Writes `own_arrays`, or others in their place; None leaves one out."""
    arrays = {**own_arrays(), **changed}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def write_images(root: Path, **arrays: np.ndarray) -> Path:
    """Writes `own_arrays`, or others in their place, as an image folder."""
    arrays = {**own_arrays(), **arrays}
    for split in ("train", "test"):
        labels = arrays[f"y_{split}"]
        for i, (image, label) in enumerate(zip(arrays[f"x_{split}"], labels, strict=True)):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{i:04}.png")
    return root
