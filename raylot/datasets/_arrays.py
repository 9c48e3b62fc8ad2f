"""Checks arrays of a user, and brings them into the form that tasks have; imports numpy."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn

import numpy as np

from raylot.datasets._base import Facts, Splits
from raylot.foundation.errors import OptionError, shown

#: Names of the four arrays in the order of `Splits`.
NAMES = ("x_train", "y_train", "x_test", "y_test")

_SHAPES = (
    "(n, height, width), (n, channels, height, width), (n, height, width, channels) with 1 or 3 "
    "channels, or (n, features)"
)

_MOST_CLASSES = 1_000_000


class Arrays:
    """The four arrays of a user's data set.

    Args:
        at: names the data set in messages.
        shapes: of each array, by its name.
        types: of each array.
        read: returns an array by its name; None where one is not read twice.
    """

    def __init__(
        self,
        at: str,
        shapes: dict[str, tuple[int, ...]],
        types: dict[str, np.dtype],
        read: Callable[[str], np.ndarray],
    ) -> None:
        self._at, self._read, self._types, self._shapes = at, read, types, shapes
        # Decided once for both splits: another size of test images is to be refused as such.
        self._channels_are_last = self._has_channels_last(shapes["x_train"][1:])
        self.shape = self._input_shape("x_train")
        if (other := self._input_shape("x_test")) != self.shape:
            self._refuse(f"x_test must hold inputs of shape {self.shape}, as x_train, not {other}")

    def facts(self, digest: str) -> Facts:
        """Returns what is known of them; reads the labels alone.

        Raises:
            OptionError: labels are neither whole numbers from 0, one for each input, nor finite
                targets of regression, or a class has no example.
        """
        labels = {name: self._labels(name) for name in ("y_train", "y_test")}
        targets = self._shapes["y_train"][1] if self._is_regression else None
        if targets is None:
            classes = 1 + max(int(one.max()) for one in labels.values())
            counts = {name: sizes(one, classes) for name, one in labels.items()}
        else:
            counts = {name: (len(one),) for name, one in labels.items()}
        for name, of_class in counts.items():
            if 0 in of_class:
                self._refuse(
                    f"{name} must hold each of the labels 0 to {len(of_class) - 1}, and lacks "
                    f"{of_class.index(0)}"
                )
        is_integer = self._types["x_train"] == np.uint8
        return Facts(
            shape=self.shape,
            train_sizes=counts["y_train"],
            test_sizes=counts["y_test"],
            largest=255 if is_integer else None,
            itemsize=1 if is_integer else 4,
            digest=digest,
            targets=targets,
        )

    def splits(self) -> Splits:
        """Returns them as tasks need them: inputs as uint8 or float32, labels as int64 or float32.

        Raises:
            OptionError: an input is not finite.
        """
        x_train, x_test = self._inputs("x_train"), self._inputs("x_test")
        return x_train, self._labels("y_train"), x_test, self._labels("y_test")

    def _input_shape(self, name: str) -> tuple[int, ...]:
        kind, (examples, *one) = self._types[name], self._shapes[name] or (0,)
        if not (kind == np.uint8 or np.issubdtype(kind, np.floating)):
            self._refuse(f"{name} must be uint8 or floating-point numbers, not {kind}")
        if kind != self._types["x_train"]:
            self._refuse(f"{name} must be of {self._types['x_train']}, as x_train, not {kind}")
        if len(one) not in (1, 2, 3) or not examples * math.prod(one):
            self._refuse(f"{name} must be of shape {_SHAPES}, not {self._shapes[name]}")
        if len(one) == 2:
            return 1, *one
        if self._channels_are_last and len(one) == 3:
            return one[2], one[0], one[1]
        return tuple(one)

    @staticmethod
    def _has_channels_last(shape: Sequence[int]) -> bool:
        return len(shape) == 3 and shape[2] in (1, 3) and shape[0] not in (1, 3)

    def _inputs(self, name: str) -> np.ndarray:
        read = self._read(name)
        if self._channels_are_last:
            read = np.moveaxis(read, -1, 1)
        kind = np.uint8 if read.dtype == np.uint8 else np.float32
        with np.errstate(over="ignore"):  # what becomes infinite is refused
            inputs = np.ascontiguousarray(read.reshape(len(read), *self.shape), dtype=kind)
        if kind is np.float32 and not np.isfinite([inputs.min(), inputs.max()]).all():
            self._refuse(f"{name} must be finite as float32")
        return inputs

    @property
    def _is_regression(self) -> bool:
        """Whether training labels are targets: a single column of floats could be classes."""
        is_float = np.issubdtype(self._types["y_train"], np.floating)
        return is_float and len(self._shapes["y_train"]) == 2

    def _targets(self, name: str) -> np.ndarray:
        wanted = (*self._shapes[name.replace("y", "x")][:1], *self._shapes["y_train"][1:])
        if self._shapes[name] != wanted or not wanted[1]:
            self._refuse(
                f"{name} must be of shape (n, targets), with {wanted[0]} inputs and "
                f"{wanted[1] or 'at least 1'} targets as y_train, not {self._shapes[name]}"
            )
        if not np.issubdtype(self._types[name], np.floating):
            self._refuse(
                f"{name} must be floating-point numbers, as y_train, not {self._types[name]}"
            )
        with np.errstate(over="ignore"):  # what becomes infinite is refused
            targets = self._read(name).astype(np.float32)
        if not np.isfinite(targets).all():
            self._refuse(f"{name} must be finite as float32")
        are_bits = bool(((targets == 0) | (targets == 1)).all())
        if wanted[1] > 1 and are_bits and bool((targets.sum(1) == 1).all()):
            self._refuse(
                f"{name} must be class numbers, as {name}.argmax(1), and not one-hot; "
                "floating-point numbers of shape (n, targets) are regression"
            )
        return targets

    def _labels(self, name: str) -> np.ndarray:
        if self._is_regression:
            return self._targets(name)
        of = name.replace("y", "x")
        if self._shapes[name] != self._shapes[of][:1]:
            self._refuse(
                f"{name} must be of shape {self._shapes[of][:1]}, one label for each input of "
                f"{of}, not {self._shapes[name]}"
            )
        if not np.issubdtype(self._types[name], np.integer):
            hint = (
                f"; try {name}.astype(int), or for regression {name}[:, None], of shape "
                "(n, targets)"
            ) * np.issubdtype(self._types[name], np.floating)
            self._refuse(f"{name} must be whole numbers from 0, not {self._types[name]}{hint}")
        labels = self._read(name)
        if labels.min() < 0 or labels.max() > _MOST_CLASSES:
            self._refuse(
                f"{name} must be whole numbers from 0 to at most {_MOST_CLASSES}, not "
                f"{labels.min()} to {labels.max()}"
            )
        return labels.astype(np.int64)

    def _refuse(self, reason: str) -> NoReturn:
        raise OptionError(f"{self._at}: {reason}")


def arrays_in_memory(at: str, given: Iterable[object]) -> Arrays:
    """Returns four arrays in the order of `NAMES`.

    Raises:
        OptionError: one is no array, or its shape or type is not accepted.
    """
    named = dict(zip(NAMES, given, strict=True))
    arrays = {name: one for name, one in named.items() if isinstance(one, np.ndarray)}
    for name in named.keys() - arrays.keys():
        raise OptionError(f"{at}: {name} must be a numpy array, not {shown(type(named[name]))}")
    shapes = {name: array.shape for name, array in arrays.items()}
    types = {name: array.dtype for name, array in arrays.items()}
    return Arrays(at, shapes, types, arrays.__getitem__)


def sizes(labels: np.ndarray, classes: int) -> tuple[int, ...]:
    """Returns how many labels each class has."""
    return tuple(np.bincount(labels, minlength=classes).tolist())


def digest_of(parts: Iterable[bytes | np.ndarray]) -> str:
    """Returns a short hash of bytes and arrays, in their order."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part if isinstance(part, bytes) else np.ascontiguousarray(part).data)
    return found.hexdigest()[:12]
