"""A user's own arrays in a file of numpy's format npz."""

from __future__ import annotations

import functools
import hashlib
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from raylot.datasets._base import DataSet, Facts, Source, Splits
from raylot.foundation.errors import OptionError, shown
from raylot.foundation.text import one_line

if TYPE_CHECKING:
    import numpy as np

    from raylot.datasets._arrays import Arrays


#: What reading a damaged, encrypted or foreign file raises.
_UNREADABLE = (
    OSError, zipfile.BadZipFile, zlib.error, ValueError, KeyError, RuntimeError,
    NotImplementedError,
)  # fmt: skip


class Npz(DataSet):
    """``x_train``, ``y_train``, ``x_test`` and ``y_test`` in the file that ``data_file`` names."""

    def facts(self, source: Source) -> Facts:
        path = _path_of(source)
        try:
            status = path.stat()
        except OSError as error:
            raise _unreadable(path, error) from None
        return _facts(path, (status.st_mtime_ns, status.st_size, status.st_ino))

    def load(self, source: Source) -> Splits:
        return _arrays(_path_of(source)).splits()


DATASET = Npz()


def _path_of(source: Source) -> Path:
    if source.data_file is None:
        raise OptionError("data_file is not given: must be the npz file of dataset npz")
    return source.data_file


@functools.lru_cache(16)
def _facts(path: Path, state: tuple[int, ...]) -> Facts:
    """Returns the facts of a file that is in a state as its size and time tell."""
    arrays = _arrays(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    return arrays.facts(digest)


def _arrays(path: Path) -> Arrays:
    from numpy.lib import format as npy

    from raylot.datasets._arrays import NAMES, Arrays

    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    headers: dict[str, tuple[tuple[int, ...], np.dtype]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            there = {Path(name).stem: name for name in archive.namelist()}
            for name in NAMES:
                if name not in there:
                    raise OptionError(
                        f"data_file={path}: must hold {', '.join(NAMES)}, and lacks {name}; it has "
                        f"{shown(', '.join(there) or 'nothing')}"
                    )
                with archive.open(there[name]) as member:
                    shape, _, kind = readers[npy.read_magic(member)](member)
                    headers[name] = shape, kind
    except _UNREADABLE as error:
        raise _unreadable(path, error) from None
    shapes = {name: shape for name, (shape, _) in headers.items()}
    types = {name: kind for name, (_, kind) in headers.items()}
    return Arrays(f"data_file={path}", shapes, types, lambda name: _read(path, name))


def _read(path: Path, name: str) -> np.ndarray:
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as file:
            array: np.ndarray = file[name]
    except _UNREADABLE as error:
        raise _unreadable(path, error) from None
    return array


def _unreadable(path: Path, error: Exception) -> OptionError:
    if isinstance(error, OptionError):
        return error
    reason = (isinstance(error, OSError) and error.strerror) or one_line(error)
    return OptionError(
        f"data_file={path}: must be an npz file of numpy that can be read ({reason})"
    )
