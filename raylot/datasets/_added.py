"""Data sets that plugins add."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from raylot.datasets._base import DataSet, Facts, Source, Splits

if TYPE_CHECKING:
    import numpy as np


class AddedDataset(DataSet):
    """A plugin's data set; its facts are known once it is loaded, which happens once.

    Args:
        name: by which the plugin has registered it.
        read: loads it, as arrays in the order of `Splits`.
    """

    def __init__(self, name: str, read: Callable[[Source], Sequence[np.ndarray]]) -> None:
        self._name, self._read = name, read
        self._loaded: dict[tuple[object, ...], tuple[Facts, Splits]] = {}

    def facts(self, source: Source) -> Facts:
        return self._of(source)[0]

    def load(self, source: Source) -> Splits:
        return self._of(source)[1]

    def _of(self, source: Source) -> tuple[Facts, Splits]:
        from raylot.datasets._arrays import arrays_in_memory, digest_of

        key = (source.data_root, source.data_file, source.image_size, source.emnist_split)
        if key not in self._loaded:
            arrays = arrays_in_memory(f"dataset={self._name}", self._read(source))
            splits = arrays.splits()
            described = [f"{part.shape} {part.dtype}".encode() for part in splits]
            facts = arrays.facts(digest_of([*described, *splits]))
            self._loaded = {key: (facts, splits)}  # one alone, as it may be large
        return self._loaded[key]
