"""Named data sets as tensors: images stay uint8 until they are scaled, batch by batch."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from raylot import mnist_files
from raylot.config import DataOptions
from raylot.options import OptionError, shown


@dataclass(frozen=True, repr=False)
class Task:
    """A classification task: a training and a test split.

    A data set is a task, and so is each of its shifted versions. For a task of your own, give
    tensors or numpy arrays; an array that can be written into is copied. Labels of any integer
    type are converted to int64.

    Attributes:
        train_inputs: ``examples x ...``; uint8, or any real type; finite as float32.
        train_labels: ``examples``, at least one; int64 in [0, classes).
        test_inputs: as train_inputs, in the same shape but for the number of examples.
        test_labels: as train_labels.
        classes: number of classes, at least 1.
        offset: subtracted from inputs when they are scaled.
        divisor: by which inputs are then divided; not 0.

    Raises:
        OptionError: one of these does not fit, in one line that names it.
    """

    train_inputs: Tensor
    train_labels: Tensor
    test_inputs: Tensor
    test_labels: Tensor
    classes: int
    offset: float = 0.0
    divisor: float = 1.0

    def __post_init__(self) -> None:
        for name in _TENSORS:
            object.__setattr__(self, name, _tensor(name, getattr(self, name)))
        devices = sorted({str(getattr(self, name).device) for name in _TENSORS})
        if len(devices) > 1:
            raise OptionError(f"{', '.join(_TENSORS)}: must be on one device, not {devices}")
        if not _is_a(Integral, self.classes) or self.classes < 1:
            raise OptionError(f"classes={shown(self.classes)}: must be a whole number, at least 1")
        for name in ("offset", "divisor"):
            value = getattr(self, name)
            if not _is_a(Real, value) or not abs(value) <= _LARGEST_FLOAT:
                raise OptionError(f"{name}={shown(value)}: must be a finite number, as float32")
        if self.divisor == 0:
            raise OptionError("divisor=0: must not be 0")
        for split in ("train", "test"):
            inputs = getattr(self, f"{split}_inputs")
            _check_split(split, inputs, getattr(self, f"{split}_labels"), int(self.classes))
            if inputs.is_floating_point() or (self.offset, self.divisor) != (0, 1):
                self._check_scaled(split, inputs)
        if self.test_inputs.shape[1:] != self.train_inputs.shape[1:]:
            raise OptionError(
                f"test_inputs: must be of shape {self.input_shape} each, as train_inputs are, not "
                f"{tuple(self.test_inputs.shape[1:])}"
            )

    def _check_scaled(self, split: str, inputs: Tensor) -> None:
        """Makes sure that inputs are finite, as they are and when they are scaled.

        Raises:
            OptionError: they are not.
        """
        # One pass that finds NaN too; isfinite would take 25 times as long.
        extremes = torch.stack(inputs.aminmax())
        least, most = extremes.tolist()
        if not all(abs(value) <= _LARGEST_FLOAT for value in (least, most)):
            raise OptionError(
                f"{split}_inputs: must be finite as float32, not in [{least}, {most}]"
            )
        if not bool(self.scale(extremes).isfinite().all()):
            raise OptionError(
                f"divisor={shown(self.divisor)}: must leave {split}_inputs in [{least}, {most}], "
                f"less offset={shown(self.offset)}, finite as float32"
            )

    def __repr__(self) -> str:
        return (
            f"Task({len(self.train_labels)} training and {len(self.test_labels)} test examples of "
            f"shape {self.input_shape}, {self.classes} classes)"
        )

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


def check_task(task: object) -> None:
    """Makes sure that what a caller gave as a task is one.

    Raises:
        OptionError: it is something else, as a pair of inputs and labels.
    """
    if not isinstance(task, Task):
        raise OptionError(
            f"task: must be a raylot.Task, as Task({', '.join(_TENSORS)}, classes), not a "
            f"{type(task).__name__}"
        )


def _is_a(kind: type, value: object) -> bool:
    """Whether it is a number of a kind; Python counts True and False among the numbers."""
    return isinstance(value, kind) and not isinstance(value, bool)


def _why_not_dense(values: object) -> str | None:
    """Names what is given in place of a dense tensor; None if it is one."""
    if not isinstance(values, Tensor):
        return type(values).__name__
    if values.layout != torch.strided:
        return str(values.layout)
    kinds = {"nested": values.is_nested, "quantised": values.is_quantized, "meta": values.is_meta}
    return next((f"a {kind} tensor" for kind, applies in kinds.items() if applies), None)


def _can_change(array: object) -> bool:
    """Whether an array can be written into, or one that it is a view of."""
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return True
        array = array.base
    return False


def _tensor(name: str, values: object) -> Tensor:
    """A task's inputs or labels, of the type that it needs; the same object if it can be.

    Raises:
        OptionError: they are of another kind or type.
    """
    if isinstance(values, np.ndarray):
        try:
            # PyTorch needs this machine's byte order and contiguous rows; most arrays have both.
            # PyTorch would not notice what numpy writes into memory that they share.
            taken = np.array if _can_change(values) else np.asarray
            array = taken(values, values.dtype.newbyteorder("="), order="C")
            with warnings.catch_warnings():
                # PyTorch has no read-only tensors; nothing here writes into a task.
                warnings.filterwarnings("ignore", "The given NumPy array is not writable")
                values = torch.from_numpy(array)
        except TypeError:
            raise OptionError(
                f"{name}: must be an array of numbers, not of {shown(values.dtype)}"
            ) from None
    kind = _why_not_dense(values)
    if kind is not None or not isinstance(values, Tensor):
        raise OptionError(f"{name}: must be a dense tensor or a numpy array, not {kind}")
    if values.requires_grad:
        values = values.detach()
    if not name.endswith("_labels"):
        if values.is_complex():
            raise OptionError(f"{name}: must be real numbers, not {values.dtype}")
        if values.is_floating_point() and values.dtype not in _FLOATS:
            return values.float()
        return values.to(_WIDER.get(values.dtype, values.dtype))
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise OptionError(
            f"{name}: must be whole numbers, not {values.dtype}; convert them with .long()"
        )
    return values.to(torch.int64)


def _check_split(split: str, inputs: Tensor, labels: Tensor, classes: int) -> None:
    """Makes sure that labels and inputs fit each other and the number of classes.

    Raises:
        OptionError: they do not.
    """
    if labels.ndim != 1:
        hint = "; try .argmax(1) if they are one-hot" if labels.ndim == 2 else ""
        if labels.shape[1:] == (1,):
            hint = "; try .squeeze(1)"
        raise OptionError(
            f"{split}_labels: must be of shape (examples,), not {tuple(labels.shape)}{hint}"
        )
    if inputs.ndim < 2 or 0 in inputs.shape[1:]:
        raise OptionError(
            f"{split}_inputs: must be of shape (examples, ...) with numbers in each example, not "
            f"{tuple(inputs.shape)}"
        )
    if not len(labels):
        raise OptionError(f"{split}_labels: must be of at least one example, not of none")
    if len(inputs) != len(labels):
        raise OptionError(
            f"{split}_labels: must be as many as {split}_inputs, {len(inputs)}, not {len(labels)}"
        )
    low, high = (int(value) for value in labels.aminmax())
    if low < 0 or high >= classes:
        hint = "; they count from 0" if (low, high) == (1, classes) else ""
        raise OptionError(
            f"{split}_labels: must lie in [0, {classes}), as classes={classes}, not in "
            f"[{low}, {high}]{hint}"
        )


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

#: Names of tensors in a task.
_TENSORS = ("train_inputs", "train_labels", "test_inputs", "test_labels")

#: Types of inputs that PyTorch and numpy do everything with; others are widened to one of these.
_FLOATS = (torch.float16, torch.float32, torch.float64)
_WIDER = {torch.uint16: torch.int32, torch.uint32: torch.int64, torch.uint64: torch.float64}

_LARGEST_FLOAT = torch.finfo(torch.float32).max

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
    """Puts MNIST into a data root, if it is not there.

    Raises:
        OptionError: that did not work; nothing is left of it.
    """
    from torchvision.datasets import MNIST

    folder = mnist_files.folder_of(root)
    made: list[Path] = []
    # Without its constructor, which reads what is there, even the pickles that old versions left.
    files = MNIST.__new__(MNIST)
    files.root = str(root)
    try:
        made += [each for each in (folder, *folder.parents) if not each.exists()]
        files.download()
    except (RuntimeError, OSError) as error:
        with suppress(OSError):  # what has been fetched stays
            for each in made:
                each.rmdir()
        raise OptionError(
            f"download=True: MNIST could not be downloaded into {root} "
            f"({' '.join(str(error).split())}); put its four files into {folder}"
        ) from None


@functools.cache
def _mnist(root: str) -> _Splits:
    """The splits in the four files of the MNIST database.

    Raises:
        OSError: one of them is not there.
        OptionError: one of them is not as it was published.
    """
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
    """The bytes in an idx file: two of zero, type, dimensions, sizes (big-endian), then the rest.

    Raises:
        OSError: it cannot be read.
        OptionError: it does not hold bytes of this shape.
    """
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
