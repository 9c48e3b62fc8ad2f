"""Named data sets as tensors: images stay uint8 until they are scaled, batch by batch."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raylot.config import DataOptions, mnist_files
from raylot.foundation.errors import OptionError
from raylot.foundation.text import one_line
from raylot.tasks.task import TENSORS, Task


def load_dataset(
    dataset: str = "digits",
    *,
    root: str | Path | None = None,
    scaling: str = "raw",
    download: bool = False,
) -> Task:
    """Loads a named data set as a task.

    Args:
        dataset: ``"digits"``: scikit-learn's handwritten digits, 1,437 training and 360 test
            images, 1x8x8, values 0-16; ``"mnist"``: 60,000 and 10,000 images, 1x28x28, 0-255.
        root: the folder that holds MNIST in torchvision's layout; for ``"mnist"`` only.
        scaling: ``"raw"`` keeps the values, ``"unit"`` divides by the largest possible one,
            ``"standardize"`` gives the training split mean 0 and standard deviation 1 (one mean
            and deviation for all pixels; for MNIST the usual 0.1307 and 0.3081).
        download: whether to download MNIST into root if it is not there.

    Raises:
        OptionError: the data set or scaling is unknown, or root does not hold MNIST.
    """
    options = DataOptions.checked(
        dataset=dataset, data_root=root, scaling=scaling, download=download
    )
    return load(options)


def load(options: DataOptions) -> Task:
    """Loads the data set that options name; see `load_dataset`."""
    return scaled(read(options), options)


def read(options: DataOptions) -> Task:
    """Loads the data set that options name, with its values as stored.

    Raises:
        OptionError: the data set is not there.
    """
    check_available(options)
    splits = _digits() if options.dataset == "digits" else _mnist(str(options.data_root))
    return Task(*splits, classes=10)


def scaled(dataset: Task, options: DataOptions) -> Task:
    """Gives a data set that `read` returned the scaling that options name."""
    if options.scaling == "unit":
        return replace(dataset, divisor=float(_LARGEST[options.dataset]))
    if options.scaling == "standardize":
        # Counts of each value give exact results without a copy of the images as floats.
        counts = torch.bincount(dataset.train_inputs.flatten(), minlength=256).to(torch.float64)
        values = torch.arange(len(counts), dtype=torch.float64, device=counts.device)
        mean = (counts @ values) / counts.sum()
        variance = (counts @ (values - mean).square()) / counts.sum()
        return replace(dataset, offset=float(mean), divisor=float(variance.sqrt()))
    return dataset


def to_arrays(dataset: Task) -> dict[str, np.ndarray]:
    """Returns a data set's tensors as arrays, for `from_arrays`."""
    return {name: getattr(dataset, name).numpy() for name in TENSORS}


def from_arrays(arrays: Mapping[str, np.ndarray]) -> Task:
    """Undoes `to_arrays` without copying; the arrays may be read-only."""
    with warnings.catch_warnings():
        # PyTorch has no read-only tensors; nothing writes into a task.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        tensors: Any = {name: torch.from_numpy(arrays[name]) for name in TENSORS}
    return Task(**tensors, classes=10)


def check_available(options: DataOptions) -> None:
    """Makes sure that the data set can be loaded; downloads it if the options ask for that.

    Raises:
        OptionError: the data set cannot be loaded.
    """
    mnist_files.check_there(options)
    if options.dataset != "mnist":
        return
    root = Path(str(options.data_root))
    if options.download:
        _download_mnist(root)
    try:
        _mnist(str(root))
    except OSError as error:
        raise OptionError(
            f"data_root={root}: must be a folder whose files can be read ({error.strerror})"
        ) from None


#: Training images and labels, test images and labels.
_Splits = tuple[Tensor, Tensor, Tensor, Tensor]

#: Largest possible value of an input.
_LARGEST = {"digits": 16, "mnist": 255}


@functools.cache
def _digits() -> _Splits:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    loaded: Any = load_digits()
    images = torch.from_numpy(loaded.images.astype("uint8")).unsqueeze(1)
    labels = torch.from_numpy(loaded.target.astype("int64"))
    train, test = train_test_split(
        range(len(labels)), test_size=360, random_state=0, stratify=loaded.target
    )
    return images[train], labels[train], images[test], labels[test]


def _download_mnist(root: Path) -> None:
    """Downloads MNIST into a data root, if it is not there; leaves no empty folders if it fails."""
    from torchvision.datasets import MNIST

    folder = mnist_files.folder_of(root)
    made: list[Path] = []
    # torchvision's constructor would also read the pickles that old versions left there.
    files = MNIST.__new__(MNIST)
    files.root = str(root)
    try:
        made += [each for each in (folder, *folder.parents) if not each.exists()]
        files.download()
    except (RuntimeError, OSError) as error:
        with suppress(OSError):  # folders that hold a downloaded file stay
            for each in made:
                each.rmdir()
        raise OptionError(
            f"download=True: MNIST could not be downloaded into {root} "
            f"({one_line(error)}); put its four files into {folder}"
        ) from None


@functools.cache
def _mnist(root: str) -> _Splits:
    """Reads the splits from the four files of the MNIST database, which must be as published."""
    paths = [mnist_files.folder_of(Path(root)) / name for name in mnist_files.NAMES]
    splits = []
    for (images_path, labels_path), examples in ((paths[:2], 60000), (paths[2:], 10000)):
        images = _idx(images_path, (examples, 28, 28))
        labels = _idx(labels_path, (examples,))
        if labels.max() > 9:
            raise OptionError(f"{labels_path}: must hold labels from 0 to 9, not {labels.max()}")
        splits += [images.unsqueeze(1), labels.to(torch.int64)]
    return splits[0], splits[1], splits[2], splits[3]


def _idx(path: Path, shape: tuple[int, ...]) -> Tensor:
    """Reads an idx file: two zeros, type, dimensions, sizes (big-endian), then the values."""
    content = np.fromfile(path, dtype=np.uint8)
    size = 4 * (1 + len(shape))
    header = [int(number) for number in content[: len(content[:size]) // 4 * 4].view(">u4")]
    expected = [0x800 + len(shape), *shape]
    if header != expected or len(content) != size + math.prod(shape):
        raise OptionError(
            f"{path}: must begin with the numbers {expected} and be {size + math.prod(shape)} "
            f"bytes long, not {header} and {len(content)}; remove it and give download=True"
        )
    return torch.from_numpy(content[size:].reshape(shape))
