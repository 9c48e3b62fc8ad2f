"""Data sets in the files of the MNIST database, as torchvision keeps them."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from raylot.datasets._base import DataSet, Facts, Source, Splits, root_of
from raylot.foundation.errors import OptionError
from raylot.foundation.text import one_line

if TYPE_CHECKING:
    import numpy as np

#: Images and labels of the training and of the test split.
NAMES = tuple(
    f"{split}-{what}-ubyte"
    for split in ("train", "t10k")
    for what in ("images-idx3", "labels-idx1")
)


@dataclass(frozen=True)
class IdxFiles(DataSet):
    """Greyscale images in four idx files, unpacked or each gzipped as published.

    Attributes:
        title: how messages name it.
        folder: below a data root.
        fetch: downloads it into a data root with torchvision.
        known: its facts.
        names: of the four files, see `NAMES`.
        first_label: in its files.
    """

    can_download: ClassVar[bool] = True

    title: str
    folder: str
    fetch: Callable[[Path], None]
    known: Facts
    names: tuple[str, ...] = NAMES
    first_label: int = 0

    def facts(self, source: Source) -> Facts:
        return self.known

    def check_there(self, source: Source) -> None:
        root = root_of(source, self.title)
        if not (self._is_there(root) or source.download):
            raise OptionError(
                f"data_root={root}: must be a folder that holds {self.title} in torchvision's "
                f"layout ({root / self.folder} with its four files); download=True puts them there"
            )

    def download(self, source: Source) -> None:
        """Fetches the files if they are not there; leaves no empty folders if that fails."""
        root = root_of(source, self.title)
        if self._is_there(root):
            return
        folder = root / self.folder
        made: list[Path] = []
        try:
            made += [each for each in (folder, *folder.parents) if not each.exists()]
            self.fetch(root)
        except (RuntimeError, OSError) as error:
            with suppress(OSError):  # folders that hold a downloaded file stay
                for each in made:
                    each.rmdir()
            raise OptionError(
                f"download=True: {self.title} could not be downloaded into {root} "
                f"({one_line(error)}); put its four files into {folder}"
            ) from None

    def load(self, source: Source) -> Splits:
        """Reads the splits from the four files, which must be as published."""
        import numpy as np

        folder, splits = root_of(source, self.title) / self.folder, []
        for first, sizes in ((0, self.known.train_sizes), (2, self.known.test_sizes)):
            images = _idx(folder / self.names[first], (sum(sizes), *self.known.shape[1:]))
            path = folder / self.names[first + 1]
            labels = _idx(path, (sum(sizes),))
            last = self.first_label + len(sizes) - 1
            for found in (labels.min(), labels.max()):
                if not self.first_label <= found <= last:
                    raise OptionError(
                        f"{path}: must hold labels from {self.first_label} to {last}, not {found}"
                    )
            splits += [images[:, None], labels.astype(np.int64) - self.first_label]
        return splits[0], splits[1], splits[2], splits[3]

    def _is_there(self, root: Path) -> bool:
        # Unlike a Path's methods, these never raise.
        paths = [os.path.join(root, self.folder, name) for name in self.names]  # noqa: PTH118
        return all(os.path.isfile(p) or os.path.isfile(f"{p}.gz") for p in paths)  # noqa: PTH113


def fetch_with(name: str, **attributes: Any) -> Callable[[Path], None]:
    """Returns what downloads one of torchvision's data sets of this family into a data root."""

    def fetch(root: Path) -> None:
        from torchvision import datasets

        kind = getattr(datasets, name)
        # torchvision's constructor would also read the pickles that old versions left there.
        files = kind.__new__(kind)
        files.root = str(root)
        vars(files).update(attributes)
        files.download()

    return fetch


def _idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Reads an idx file: two zeros, type, dimensions, sizes (big-endian), then the values."""
    content = _content(path)
    size = 4 * (1 + len(shape))
    header = [int(number) for number in content[: len(content[:size]) // 4 * 4].view(">u4")]
    expected = [0x800 + len(shape), *shape]
    if header != expected or len(content) != size + math.prod(shape):
        raise OptionError(
            f"{path}: must begin with the numbers {expected} and be {size + math.prod(shape)} "
            f"bytes long, not {header} and {len(content)}; remove it and give download=True"
        )
    return content[size:].reshape(shape)


def _content(path: Path) -> np.ndarray:
    import numpy as np

    packed = path.with_name(f"{path.name}.gz")
    try:
        if path.exists():
            return np.fromfile(path, dtype=np.uint8)
        # A bytearray, as torch wants arrays that can be written.
        return np.frombuffer(bytearray(gzip.decompress(packed.read_bytes())), dtype=np.uint8)
    except (EOFError, gzip.BadGzipFile, zlib.error, ValueError) as error:
        raise OptionError(f"{packed}: must be a gzipped file ({one_line(error)})") from None
    except OSError as error:
        read = path if path.exists() else packed
        raise OptionError(f"{read}: must be a file that can be read ({error.strerror})") from None
