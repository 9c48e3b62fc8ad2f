"""Data sets that torchvision reads, from files whose checksums it knows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from raylot.datasets._base import DataSet, Facts, Source, Splits, root_of
from raylot.foundation.errors import OptionError
from raylot.foundation.text import one_line

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class TorchvisionFiles(DataSet):
    """Colour images that torchvision reads.

    Attributes:
        title: how messages name it.
        file: below a data root, without which the data set is not there.
        kind: the name of torchvision's class.
        by_split: whether that class calls its splits "train" and "test".
        known: its facts.
    """

    can_download: ClassVar[bool] = True

    title: str
    file: str
    kind: str
    known: Facts
    by_split: bool = False

    def facts(self, source: Source) -> Facts:
        return self.known

    def check_there(self, source: Source) -> None:
        root = root_of(source, self.title)
        path = os.path.join(root, self.file)  # noqa: PTH118 - it never raises
        if not (os.path.isfile(path) or source.download):  # noqa: PTH113 - it never raises
            raise OptionError(
                f"data_root={root}: must be a folder that holds {self.title} in torchvision's "
                f"layout ({path} and what belongs to it); download=True puts it there"
            )

    def download(self, source: Source) -> None:
        self._opened(source, train=True, download=True)
        self._opened(source, train=False, download=True)

    def load(self, source: Source) -> Splits:
        train, test = (self._opened(source, train=train) for train in (True, False))
        return (*_arrays(train), *_arrays(test))

    def _opened(self, source: Source, *, train: bool, download: bool = False) -> Any:
        from torchvision import datasets

        root = root_of(source, self.title)
        part: dict[str, Any] = {"train": train}
        if self.by_split:
            part = {"split": "train" if train else "test"}
        try:
            return getattr(datasets, self.kind)(str(root), download=download, **part)
        except (RuntimeError, OSError) as error:
            if download:
                told = "download=True: {} could not be downloaded into {} ({})"
            else:
                told = "data_root={1}: must be a folder that holds {0} as published ({2})"
            raise OptionError(told.format(self.title, root, one_line(error))) from None


def _arrays(files: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns images as ``examples x channels x height x width``, and labels."""
    import numpy as np

    images, labels = files.data, getattr(files, "targets", None)
    labels = files.labels if labels is None else labels
    if images.shape[-1] == 3:
        images = np.moveaxis(images, -1, 1)
    return np.ascontiguousarray(images), np.asarray(labels, dtype=np.int64)
