"""Named data sets as tensors: images stay uint8 until they are scaled, batch by batch."""

from __future__ import annotations

import functools
import math
import numbers
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from raylot.config import DataOptions
from raylot.options import OptionError, shown


@dataclass(frozen=True, repr=False)
class Task:
    """A classification task: a training and a test split.

    A data set is a task, and so is each of its shifted versions. For a task of your own, give
    your own tensors or numpy arrays.

    Attributes:
        train_inputs: ``examples x ...``, at least one example; uint8, or any real type that
            converts to float32, all finite.
        train_labels: ``examples``; whole numbers in [0, classes), kept as int64.
        test_inputs: as train_inputs, each of the same shape.
        test_labels: as train_labels.
        classes: number of classes, at least 1.
        offset: subtracted from inputs when they are scaled.
        divisor: by which inputs are then divided; not 0.

    Raises:
        OptionError: something does not fit, in one line that begins with the attribute's name.
    """

    train_inputs: Tensor
    train_labels: Tensor
    test_inputs: Tensor
    test_labels: Tensor
    classes: int
    offset: float = 0.0
    divisor: float = 1.0

    def __post_init__(self) -> None:
        is_whole = isinstance(self.classes, numbers.Integral) and not isinstance(self.classes, bool)
        if not is_whole or self.classes < 1:
            raise OptionError(f"classes={shown(self.classes)}: must be a whole number, at least 1")
        for name in ("offset", "divisor"):
            value = getattr(self, name)
            is_number = isinstance(value, numbers.Real) and math.isfinite(value)
            if not is_number or (name == "divisor" and value == 0):
                wanted = "a finite number" + (" other than 0" if name == "divisor" else "")
                raise OptionError(f"{name}={shown(value)}: must be {wanted}")
        for split in ("train", "test"):
            inputs = _checked_inputs(f"{split}_inputs", getattr(self, f"{split}_inputs"))
            labels = _checked_labels(
                f"{split}_labels", getattr(self, f"{split}_labels"), len(inputs), self.classes
            )
            object.__setattr__(self, f"{split}_inputs", inputs)
            object.__setattr__(self, f"{split}_labels", labels)
        if self.test_inputs.shape[1:] != self.train_inputs.shape[1:]:
            raise OptionError(
                f"test_inputs: each must have the shape of those in train_inputs, "
                f"{self.input_shape}; has {tuple(self.test_inputs.shape[1:])}"
            )

    def __repr__(self) -> str:
        examples = f"{len(self.train_labels)} training and {len(self.test_labels)} test examples"
        kind = str(self.train_inputs.dtype).removeprefix("torch.")
        return f"Task({examples} of shape {self.input_shape}, {kind}, {self.classes} classes)"

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


def _checked_inputs(name: str, given: Any) -> Tensor:
    inputs = _tensor(name, given)
    if inputs.is_complex():
        raise OptionError(f"{name}: must be real numbers; has {inputs.dtype}")
    if inputs.ndim < 2 or not inputs.numel():
        raise OptionError(
            f"{name}: must have the shape (examples, ...) with at least one example; has "
            f"{tuple(inputs.shape)}"
        )
    if inputs.is_floating_point() and not inputs.isfinite().all():
        raise OptionError(f"{name}: must be finite; some are NaN or infinite")
    return inputs


def _checked_labels(name: str, given: Any, examples: int, classes: int) -> Tensor:
    labels = _tensor(name, given)
    if labels.ndim != 1:
        cure = "take .flatten()" if labels.numel() == len(labels) else "of one-hot, .argmax(1)"
        raise OptionError(
            f"{name}: must have the shape (examples,), one class per example; has "
            f"{tuple(labels.shape)} ({cure})"
        )
    if len(labels) != examples:
        raise OptionError(f"{name}: must be one per input; {len(labels)} for {examples} inputs")
    if labels.is_floating_point() or labels.is_complex():
        raise OptionError(f"{name}: must be whole numbers; has {labels.dtype}")
    labels = labels.to(torch.int64)
    least, most = int(labels.min()), int(labels.max())
    if least < 0 or most >= classes:
        wrong = least if least < 0 else most
        raise OptionError(
            f"{name}: must lie in [0, {classes}), as there are {classes} classes; one is {wrong}"
        )
    return labels


def _tensor(name: str, given: Any) -> Tensor:
    if isinstance(given, Tensor):
        return given
    try:
        with warnings.catch_warnings():
            # PyTorch has no read-only tensors; nothing here writes into a task.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            return torch.from_numpy(np.ascontiguousarray(given))
    except (TypeError, ValueError):
        raise OptionError(
            f"{name}: must be a tensor or an array of numbers; is {type(given).__name__}"
        ) from None


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
    tensors = [_tensor(name, arrays[name]) for name in _TENSORS]
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
    if options.download and not all(file.is_file() for file in _mnist_files(folder)):
        from torchvision.datasets import MNIST

        try:
            MNIST(str(root), download=True)
        except Exception as error:  # also whatever a damaged file of an old torchvision raises
            raise OptionError(
                f"download=True: MNIST could not be downloaded into {root} "
                f"({error!s}); put its four files into {folder}"
            ) from None
    _mnist(str(root))


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


#: Examples, and pixels along a side, of MNIST's splits.
_MNIST_SPLITS, _MNIST_SIDE = {"train": 60_000, "t10k": 10_000}, 28


def _mnist_files(folder: Path) -> list[Path]:
    """Images and labels of the training split, then of the test split."""
    names = ("images-idx3", "labels-idx1")
    return [folder / f"{split}-{name}-ubyte" for split in _MNIST_SPLITS for name in names]


@functools.cache
def _mnist(root: str) -> _Splits:
    """Reads MNIST's four files.

    Raises:
        OptionError: one is missing or not what it must be.
    """
    folder = Path(root) / "MNIST" / "raw"
    images, labels, test_images, test_labels = _mnist_files(folder)
    train, test = _MNIST_SPLITS.values()
    return (
        _idx(root, images, (train, _MNIST_SIDE, _MNIST_SIDE)).unsqueeze(1),
        _idx(root, labels, (train,)).to(torch.int64),
        _idx(root, test_images, (test, _MNIST_SIDE, _MNIST_SIDE)).unsqueeze(1),
        _idx(root, test_labels, (test,)).to(torch.int64),
    )


def _idx(root: str, path: Path, shape: tuple[int, ...]) -> Tensor:
    """A file of images or labels: uint8, in the shape that it must have."""
    from torchvision.datasets.mnist import read_image_file, read_label_file

    if not path.is_file():
        raise OptionError(
            f"data_root={root}: must be a folder that holds MNIST in torchvision's layout; "
            f"{path} is not there (give download=true, or put MNIST's four files there)"
        )
    is_images = len(shape) == 3
    try:
        found: Tensor = read_image_file(str(path)) if is_images else read_label_file(str(path))
    except Exception:  # whatever torchvision raises at bytes that make no sense
        found = torch.empty(0)
    if found.shape != shape or (not is_images and int(found.max()) > 9):
        wanted = (
            f"images of {_MNIST_SIDE} x {_MNIST_SIDE} pixels" if is_images else "labels, 0 to 9"
        )
        raise OptionError(
            f"data_root={root}: must hold MNIST; {path} is damaged or another data set's (it must "
            f"hold {shape[0]:,} {wanted})"
        )
    return found
