"""A task as tensors, for classification or regression, with checks of a caller's tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Self

import numpy as np
import torch
from torch import Tensor

from raylot.foundation.errors import OptionError, shown

#: Names of tensors in a task.
TENSORS = ("train_inputs", "train_labels", "test_inputs", "test_labels")

#: PyTorch and numpy support inputs of these types everywhere; other types are widened to them.
_FLOATS = (torch.float16, torch.float32, torch.float64)
_WIDER = {torch.uint16: torch.int32, torch.uint32: torch.int64, torch.uint64: torch.float64}

#: A number for all inputs, or one for each channel.
Scale = float | tuple[float, ...]

_LARGEST_FLOAT = torch.finfo(torch.float32).max


@dataclass(frozen=True, repr=False, eq=False)  # tensors have no single truth value to compare by
class Task:
    """A task: a training and a test split, for classification or for regression.

    A data set is a task, and so is each of its shifted versions. To make a task of your own, give
    tensors or numpy arrays; arrays are copied. Labels of any integer type become int64, targets of
    regression (``classes=None``) float32.

    Attributes:
        train_inputs: ``examples x ...``; uint8, or any real type; finite as float32.
        train_labels: ``examples``, at least one; int64 in [0, classes). In regression ``examples x
            targets``, finite float32.
        test_inputs: as train_inputs, in the same shape but for the number of examples.
        test_labels: as train_labels.
        classes: number of classes, at least 1; None: regression.
        offset: subtracted from inputs when they are scaled; one number, or one for each channel,
            which is each entry of an input's first dimension.
        divisor: inputs are then divided by it, in the same way; not 0.
        shown: classes that have been shown so far, as of a head that grows: all labels are below
            it, and the outputs of other classes take no part in loss and accuracy. None: all.

    Raises:
        OptionError: one of these does not fit; the line names it.
    """

    train_inputs: Tensor
    train_labels: Tensor
    test_inputs: Tensor
    test_labels: Tensor
    classes: int | None
    offset: Scale = 0.0
    divisor: Scale = 1.0
    shown: int | None = None

    def __post_init__(self) -> None:
        for name in TENSORS:
            is_targets = self.is_regression and name.endswith("_labels")
            tensor = _as_tensor(name, getattr(self, name), is_targets=is_targets)
            object.__setattr__(self, name, tensor)
        devices = sorted({str(getattr(self, name).device) for name in TENSORS})
        if len(devices) > 1:
            raise OptionError(f"{', '.join(TENSORS)}: must be on one device, not {devices}")
        if self.classes is not None and (not _is_a(Integral, self.classes) or self.classes < 1):
            raise OptionError(
                f"classes={shown(self.classes)}: must be a whole number, at least 1, or None for "
                "regression"
            )
        if self.shown is not None and (self.is_regression or not _is_a(Integral, self.shown)):
            raise OptionError(
                f"shown={shown(self.shown)}: must be None, or a whole number of classes in "
                "classification"
            )
        for name in ("offset", "divisor"):
            self._check_scale(name, getattr(self, name))
        for split in ("train", "test"):
            inputs = getattr(self, f"{split}_inputs")
            labels = getattr(self, f"{split}_labels")
            _check_split(split, inputs, labels, is_regression=self.is_regression)
            if self.classes is None:
                _check_targets(split, labels)
            else:
                _check_labels(split, labels, int(self.classes))
                if self.shown is not None and not int(labels.max()) < self.shown <= self.classes:
                    raise OptionError(
                        f"shown={shown(self.shown)}: must be above all labels of "
                        f"{split}_labels, and at most {self.classes}, the classes"
                    )
            if inputs.is_floating_point() or (self.offset, self.divisor) != (0, 1):
                self._check_scaled(split, inputs)
        if self.test_labels.shape[1:] != self.train_labels.shape[1:]:
            raise OptionError(
                f"test_labels: must hold {self.outputs} targets each, as train_labels do, not "
                f"{self.test_labels.shape[1]}"
            )
        if self.test_inputs.shape[1:] != self.train_inputs.shape[1:]:
            raise OptionError(
                f"test_inputs: must be of shape {self.input_shape} each, as train_inputs are, not "
                f"{tuple(self.test_inputs.shape[1:])}"
            )

    def _check_scale(self, name: str, value: object) -> None:
        numbers = value if isinstance(value, tuple) else (value,)
        if not all(_is_a(Real, one) and abs(one) <= _LARGEST_FLOAT for one in numbers):
            raise OptionError(f"{name}={shown(value)}: must be a finite number, as float32")
        channels = self.input_shape[:1]
        if isinstance(value, tuple) and (len(value),) != channels:
            raise OptionError(
                f"{name}: must be one number, or one for each of the {channels[0]} channels, not "
                f"{len(value)}"
            )
        if name == "divisor" and 0 in numbers:
            raise OptionError(f"divisor={shown(value)}: must not be 0")

    def _check_scaled(self, split: str, inputs: Tensor) -> None:
        """Refuses inputs that are not finite, before or after scaling."""
        # One pass finds NaN too; isfinite would take 25 times as long.
        extremes = torch.stack(inputs.aminmax())
        least, most = extremes.tolist()
        if not all(abs(value) <= _LARGEST_FLOAT for value in (least, most)):
            raise OptionError(
                f"{split}_inputs: must be finite as float32, not in [{least}, {most}]"
            )
        corners = extremes.view(2, *[1] * len(self.input_shape))
        if not bool(self.scale(corners).isfinite().all()):
            raise OptionError(
                f"divisor={shown(self.divisor)}: must leave {split}_inputs in [{least}, {most}], "
                f"less offset={shown(self.offset)}, finite as float32"
            )

    def __repr__(self) -> str:
        kind = f"{self.outputs} targets" if self.is_regression else f"{self.classes} classes"
        return (
            f"Task({len(self.train_labels)} training and {len(self.test_labels)} test examples of "
            f"shape {self.input_shape}, {kind})"
        )

    def scale(self, inputs: Tensor) -> Tensor:
        """Returns inputs as the network sees them: ``(inputs - offset) / divisor`` as float32.

        Args:
            inputs: ``... x input_shape``, or with sides of 1 in their place.
        """
        scaled = inputs.to(torch.float32)
        offset, divisor = self._scales
        if self.offset:
            scaled = scaled - offset
        return scaled / divisor if self.divisor != 1 else scaled

    @functools.cached_property
    def _scales(self) -> tuple[float | Tensor, float | Tensor]:
        """Offset and divisor: numbers, or tensors with a number for each channel."""
        sides = [1] * (len(self.input_shape) - 1)
        offset, divisor = (
            torch.tensor(value, dtype=torch.float32, device=self.train_inputs.device).view(
                -1, *sides
            )
            if isinstance(value, tuple)
            else value
            for value in (self.offset, self.divisor)
        )
        return offset, divisor

    @property
    def input_shape(self) -> tuple[int, ...]:
        return tuple(self.train_inputs.shape[1:])

    @property
    def is_regression(self) -> bool:
        """Whether labels are numbers to be met, not classes."""
        return self.classes is None

    @property
    def known_classes(self) -> int:
        """The number of classes.

        Raises:
            OptionError: this is regression.
        """
        if self.classes is None:
            raise OptionError("classes=None: must be a number of classes here, not regression")
        return int(self.classes)

    @property
    def outputs(self) -> int:
        """Outputs that a network for this task has: one for each class, or for each target."""
        return int(self.train_labels.shape[1]) if self.classes is None else int(self.classes)

    def to(self, device: torch.device) -> Self:
        """Returns the same task with its tensors on a device."""
        return replace(self, **{name: getattr(self, name).to(device) for name in TENSORS})


def map_inputs(task: Task, change: Callable[[Tensor], Tensor]) -> Task:
    """Returns the same task with other inputs.

    Args:
        task: any task.
        change: maps the inputs of a split, ``examples x ...``, to as many new ones of the same
            type; it must not write into them.
    """
    return replace(
        task, train_inputs=change(task.train_inputs), test_inputs=change(task.test_inputs)
    )


def check_task(task: object) -> None:
    """Makes sure that a caller gave a task.

    Raises:
        OptionError: the caller gave something else, such as a pair of inputs and labels.
    """
    if not isinstance(task, Task):
        raise OptionError(
            f"task: must be a raylot.Task, as Task({', '.join(TENSORS)}, classes), not a "
            f"{type(task).__name__}"
        )


def _is_a(kind: type, value: object) -> bool:
    """Whether a value is a number of a kind; Python counts True and False among the numbers."""
    return isinstance(value, kind) and not isinstance(value, bool)


def _as_tensor(name: str, values: object, *, is_targets: bool) -> Tensor:
    """Returns a task's inputs or labels in a type that fits: a tensor itself, if possible."""
    if isinstance(values, np.ndarray):
        try:
            # PyTorch needs this machine's byte order and contiguous rows. It does not notice when
            # numpy writes into shared memory, so arrays are copied.
            array = np.array(values, values.dtype.newbyteorder("="), order="C")
            values = torch.from_numpy(array)
        except TypeError:
            raise OptionError(
                f"{name}: must be an array of numbers, not of {shown(values.dtype)}"
            ) from None
    if given := _why_not_dense(values):
        raise OptionError(f"{name}: must be a dense tensor or a numpy array, not {given}")
    assert isinstance(values, Tensor)
    if values.requires_grad:
        values = values.detach()
    if is_targets:
        if not values.is_floating_point():
            raise OptionError(
                f"{name}: must be floating-point targets with classes=None, not {values.dtype}"
            )
        return values.float()
    if not name.endswith("_labels"):
        if values.is_complex():
            raise OptionError(f"{name}: must be real numbers, not {values.dtype}")
        if values.is_floating_point() and values.dtype not in _FLOATS:
            return values.float()
        return values.to(_WIDER.get(values.dtype, values.dtype))
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise OptionError(
            f"{name}: must be whole numbers, not {values.dtype}; convert them with .long(), or "
            "give classes=None for regression"
        )
    return values.to(torch.int64)


def _why_not_dense(values: object) -> str:
    """Names what a caller gave in place of a dense tensor; empty if it is one."""
    if not isinstance(values, Tensor):
        return type(values).__name__
    if values.layout != torch.strided:
        return str(values.layout)
    kinds = {"nested": values.is_nested, "quantised": values.is_quantized, "meta": values.is_meta}
    return next((f"a {kind} tensor" for kind, applies in kinds.items() if applies), "")


def _check_split(split: str, inputs: Tensor, labels: Tensor, *, is_regression: bool) -> None:
    """Refuses labels that do not fit the inputs."""
    if is_regression and (labels.ndim != 2 or not labels.shape[1]):
        hint = "; try .unsqueeze(1)" if labels.ndim == 1 else ""
        raise OptionError(
            f"{split}_labels: must be of shape (examples, targets) with classes=None, not "
            f"{tuple(labels.shape)}{hint}"
        )
    if not is_regression and labels.ndim != 1:
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


def _check_targets(split: str, targets: Tensor) -> None:
    if not bool(targets.isfinite().all()):
        raise OptionError(f"{split}_labels: must be finite as float32")


def _check_labels(split: str, labels: Tensor, classes: int) -> None:
    low, high = (int(value) for value in labels.aminmax())
    if low < 0 or high >= classes:
        hint = "; they count from 0" if (low, high) == (1, classes) else ""
        raise OptionError(
            f"{split}_labels: must lie in [0, {classes}), as classes={classes}, not in "
            f"[{low}, {high}]{hint}"
        )
