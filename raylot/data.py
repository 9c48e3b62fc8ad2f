"""Named data sets as tensors: images stay uint8 until they are scaled, batch by batch."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from raylot.config import DataOptions
from raylot.options import OptionError


@dataclass(frozen=True)
class Task:
    """A classification task: a training and a test split.

    A data set is a task, and so is each of its shifted versions. For a task of your own, give
    your own tensors.

    Attributes:
        train_inputs: ``examples x ...``; uint8, or any type that converts to float32.
        train_labels: ``examples``; int64 in [0, classes).
        test_inputs: as train_inputs.
        test_labels: as train_labels.
        classes: number of classes.
        offset: subtracted from inputs when they are scaled.
        divisor: by which inputs are then divided.
    """

    train_inputs: Tensor
    train_labels: Tensor
    test_inputs: Tensor
    test_labels: Tensor
    classes: int
    offset: float = 0.0
    divisor: float = 1.0

    def scale(self, inputs: Tensor) -> Tensor:
        """Inputs as the network sees them: ``(inputs - offset) / divisor`` as float32."""
        scaled = inputs.to(torch.float32)
        if self.offset:
            scaled = scaled - self.offset
        return scaled / self.divisor if self.divisor != 1 else scaled

    @property
    def input_shape(self) -> tuple[int, ...]:
        return tuple(self.train_inputs.shape[1:])

    def to(self, device: torch.device) -> Self:
        """The same task with its tensors on a device."""
        return replace(
            self,
            train_inputs=self.train_inputs.to(device),
            train_labels=self.train_labels.to(device),
            test_inputs=self.test_inputs.to(device),
            test_labels=self.test_labels.to(device),
        )


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
        root: for ``"mnist"``, the folder that holds it in torchvision's layout.
        scaling: ``"raw"`` keeps the values, ``"unit"`` divides by the largest possible one,
            ``"standardize"`` gives the training split mean 0 and standard deviation 1 (one mean
            and deviation for all pixels; for MNIST the usual 0.1307 and 0.3081).
        download: fetch MNIST into root if it is not there.

    Raises:
        OptionError: an unknown data set or scaling, or MNIST is not in root.
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
        OptionError: it is not there.
    """
    check_available(options)
    splits = _digits() if options.dataset == "digits" else _mnist(str(options.data_root))
    return Task(*splits, classes=10)


def scaled(dataset: Task, options: DataOptions) -> Task:
    """A data set that `read` returned, with the scaling that options name."""
    if options.scaling == "unit":
        return replace(dataset, divisor=float(_LARGEST[options.dataset]))
    if options.scaling == "standardize":
        # By how often each value occurs: exact, and without a copy of the images as floats.
        counts = torch.bincount(dataset.train_inputs.flatten(), minlength=256).to(torch.float64)
        values = torch.arange(len(counts), dtype=torch.float64, device=counts.device)
        mean = (counts @ values) / counts.sum()
        variance = (counts @ (values - mean).square()) / counts.sum()
        return replace(dataset, offset=float(mean), divisor=float(variance.sqrt()))
    return dataset


def to_arrays(dataset: Task) -> dict[str, np.ndarray]:
    """A data set's tensors as arrays, for `from_arrays`."""
    return {name: getattr(dataset, name).numpy() for name in _TENSORS}


def from_arrays(arrays: Mapping[str, np.ndarray]) -> Task:
    """The data set that was given to `to_arrays`, without copying; arrays may be read-only."""
    with warnings.catch_warnings():
        # PyTorch has no read-only tensors; nothing here writes into a task.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        tensors = [torch.from_numpy(arrays[name]) for name in _TENSORS]
    return Task(tensors[0], tensors[1], tensors[2], tensors[3], classes=10)


def check_available(options: DataOptions) -> None:
    """Makes sure that the data set can be loaded, downloading it if asked to.

    Raises:
        OptionError: it cannot.
    """
    if options.dataset != "mnist":
        return
    if options.data_root is None:
        raise OptionError(
            "data_root=None: must be the folder that holds MNIST in torchvision's layout "
            "(with download=true, where to put it)"
        )
    from torchvision.datasets import MNIST

    root = Path(options.data_root)
    folder = root / "MNIST" / "raw"
    if options.download:
        try:
            MNIST(str(root), download=True)
        except (RuntimeError, OSError) as error:
            raise OptionError(
                f"download=True: MNIST could not be downloaded into {root} "
                f"({error!s}); put its four files into {folder}"
            ) from None
    try:
        _mnist(str(root))
    except (RuntimeError, ValueError, AssertionError, OSError):  # missing; damaged
        raise OptionError(
            f"data_root={root}: must be a folder that holds MNIST in torchvision's layout "
            f"({folder} with its four files), or give download=true"
        ) from None


#: Training images and labels, test images and labels.
_Splits = tuple[Tensor, Tensor, Tensor, Tensor]

#: Names of these in a task.
_TENSORS = ("train_inputs", "train_labels", "test_inputs", "test_labels")

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


@functools.cache
def _mnist(root: str) -> _Splits:
    from torchvision.datasets import MNIST

    train, test = MNIST(root, train=True), MNIST(root, train=False)
    return (
        train.data.unsqueeze(1),
        train.targets.to(torch.int64),
        test.data.unsqueeze(1),
        test.targets.to(torch.int64),
    )
