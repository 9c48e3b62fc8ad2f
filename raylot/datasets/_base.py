"""The base of all data sets, and the facts that each tells, without large libraries."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeAlias

from raylot.foundation.errors import OptionError

if TYPE_CHECKING:
    import numpy as np

#: Training inputs and labels, test inputs and labels; labels are int64, or in regression float32,
#: ``examples x targets``.
Splits: TypeAlias = "tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]"


class Source(Protocol):
    """Which data set, and where its files are: `raylot.config.DataOptions`."""

    @property
    def dataset(self) -> str: ...
    @property
    def data_root(self) -> Path | None: ...
    @property
    def download(self) -> bool: ...
    @property
    def data_file(self) -> Path | None: ...
    @property
    def image_size(self) -> int | None: ...
    @property
    def emnist_split(self) -> str: ...
    @property
    def train_examples(self) -> int | None: ...


@dataclass(frozen=True)
class Facts:
    """Facts about a data set, known before anything trains on it.

    Attributes:
        shape: of one input, as ``(channels, height, width)`` or ``(features,)``.
        train_sizes: training examples of each class; in regression of the whole split.
        test_sizes: test examples, likewise.
        largest: largest possible value of an input; None: the largest magnitude in the training
            split.
        itemsize: bytes of a number in an input.
        digest: of the content, where the name alone does not say what it is; else None.
        targets: numbers that regression predicts for each example; None: classification.
    """

    shape: tuple[int, ...]
    train_sizes: tuple[int, ...]
    test_sizes: tuple[int, ...]
    largest: float | None = 255
    itemsize: int = 1
    digest: str | None = None
    targets: int | None = None

    @property
    def is_regression(self) -> bool:
        return self.targets is not None

    @property
    def classes(self) -> int:
        """The number of classes; 0 in regression."""
        return 0 if self.is_regression else len(self.train_sizes)

    @property
    def outputs(self) -> int:
        """Outputs of a network for it: one for each class, or for each target."""
        return self.classes if self.targets is None else self.targets

    @property
    def training_examples(self) -> int:
        return sum(self.train_sizes)

    def with_examples(self, count: int) -> Facts:
        """Returns the facts of so many of the training examples.

        Each class has at least one, and beyond that as large a share as of all (largest
        remainders; ties go to the lower label).

        Raises:
            OptionError: there are fewer examples, or more classes.
        """
        sizes = self.train_sizes
        if not len(sizes) <= count <= sum(sizes):
            each = "" if self.is_regression else ", one for each class,"
            raise OptionError(
                f"train_examples={count}: must be at least {len(sizes)}{each} and at most "
                f"{sum(sizes)}, the training examples of the data set"
            )
        spare, left = sum(sizes) - len(sizes), count - len(sizes)
        exact = [left * (size - 1) / max(1, spare) for size in sizes]
        kept = [1 + int(one) for one in exact]
        by_remainder = sorted(range(len(sizes)), key=lambda i: (int(exact[i]) - exact[i], i))
        for i in by_remainder[: count - sum(kept)]:
            kept[i] += 1
        return replace(self, train_sizes=tuple(kept))

    @property
    def pixels(self) -> int:
        """Places of an image, each with all its channels; of another input, its numbers."""
        return math.prod(self.shape[-2:])

    @property
    def size(self) -> int:
        """Bytes of all inputs."""
        examples = self.training_examples + sum(self.test_sizes)
        return examples * math.prod(self.shape) * self.itemsize


def root_of(source: Source, title: str) -> Path:
    """Returns the data root of a data set that is there in torchvision's layout.

    Args:
        source: names it.
        title: how messages name the data set.

    Raises:
        OptionError: the source names none.
    """
    if source.data_root is None:
        raise OptionError(
            f"data_root is not given: must be the folder that holds {title} in torchvision's "
            "layout (with download=True, where to put it)"
        )
    return source.data_root


class DataSet(ABC):
    """A data set that has a name."""

    #: Whether ``download=True`` fetches it.
    can_download: ClassVar[bool] = False

    @abstractmethod
    def facts(self, source: Source) -> Facts:
        """Returns what is known of it.

        Raises:
            OptionError: its facts stand in files, and these are not there or do not fit.
        """

    def check_there(self, source: Source) -> None:
        """Makes sure, without torch, that its files are there or that it may be downloaded.

        Raises:
            OptionError: they are not.
        """
        return  # a data set without files

    def download(self, source: Source) -> None:
        """Fetches it if it is not there.

        Raises:
            OptionError: it could not be fetched.
        """
        return  # a data set that is there, or that nobody can fetch

    @abstractmethod
    def load(self, source: Source) -> Splits:
        """Returns its splits as they are stored.

        Raises:
            OptionError: a file cannot be read, or holds something else.
        """
