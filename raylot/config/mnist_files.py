"""Finds the files of MNIST, without importing torch."""

from __future__ import annotations

import os
from pathlib import Path

from raylot.config import DataOptions
from raylot.foundation.errors import OptionError

#: Images and labels of the training and of the test split.
NAMES = tuple(
    f"{split}-{what}-ubyte"
    for split in ("train", "t10k")
    for what in ("images-idx3", "labels-idx1")
)


def folder_of(root: Path) -> Path:
    """The folder below a data root in which torchvision keeps the files."""
    return root / "MNIST" / "raw"


def check_there(options: DataOptions) -> None:
    """Makes sure that MNIST's files are there if a run needs them and does not download them.

    Raises:
        OptionError: no data root is given, or a file is missing there.
    """
    if options.dataset != "mnist":
        return
    if options.data_root is None:
        raise OptionError(
            "data_root is not given: must be the folder that holds MNIST in torchvision's layout "
            "(with download=True, where to put it)"
        )
    folder = folder_of(options.data_root)
    are_there = all(os.path.isfile(folder / name) for name in NAMES)  # noqa: PTH113 - never raises
    if not (are_there or options.download):
        raise OptionError(
            f"data_root={options.data_root}: must be a folder that holds MNIST in torchvision's "
            f"layout ({folder} with its four files); download=True puts them there"
        )
