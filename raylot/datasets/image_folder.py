"""Images in a folder for each class, as torchvision's ImageFolder reads them."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raylot.datasets._base import DataSet, Facts, Source, Splits
from raylot.foundation.errors import OptionError, shown
from raylot.foundation.text import one_line

if TYPE_CHECKING:
    import numpy as np

#: As torchvision reads them.
_ENDINGS = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"}

_SPLITS = ("train", "test")

#: Modes of Pillow that hold 8 bits for each channel; the first two have one channel.
_GREY, _COLOUR = ("1", "L"), ("LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


class ImageFolder(DataSet):
    """``train/CLASS/*.png`` and ``test/CLASS/*.png`` in the data root; classes by their names.

    Greyscale images have one channel; if one image has colours, all have three.
    """

    def facts(self, source: Source) -> Facts:
        root = _root_of(source)
        # Folders change when files come or go; `load` finds those that are written again in place.
        folders = tuple(folder for split in _classes(root).values() for folder in split)
        state = tuple(folder.stat().st_mtime_ns for folder in folders)
        return _facts(root, source.image_size, state)

    def load(self, source: Source) -> Splits:
        import numpy as np

        from raylot.datasets._arrays import digest_of

        facts, root = self.facts(source), _root_of(source)
        parts: list[np.ndarray] = []
        digests: list[bytes] = []
        for split, folders in _classes(root).items():
            sizes = facts.train_sizes if split == "train" else facts.test_sizes
            files = list(_files(folders))
            inputs = np.empty((sum(sizes), *facts.shape), dtype=np.uint8)
            for i, (_, path) in enumerate(files[: len(inputs)]):
                digests += _digests(root, path)
                with _opened(path) as image:
                    inputs[i] = _values(image, facts.shape)
            if len(files) != len(inputs):
                digests.clear()
            parts += [inputs, np.repeat(np.arange(len(sizes), dtype=np.int64), sizes)]
        if digest_of(digests) != facts.digest:
            _facts.cache_clear()
            raise OptionError(
                f"data_root={root}: must hold the same images as before; some have changed since "
                "they were looked through"
            )
        return parts[0], parts[1], parts[2], parts[3]


DATASET = ImageFolder()


def _root_of(source: Source) -> Path:
    if source.data_root is None:
        raise OptionError(
            "data_root is not given: must be the folder that holds train/CLASS/*.png and "
            "test/CLASS/*.png"
        )
    return source.data_root


def _classes(root: Path) -> dict[str, list[Path]]:
    """Returns the folders of the classes of each split, the same in both."""
    found: dict[str, list[Path]] = {}
    try:
        for split in _SPLITS:
            inside = sorted((root / split).iterdir())
            found[split] = [each for each in inside if each.is_dir() and each.name[0] != "."]
    except OSError as error:
        raise OptionError(
            f"data_root={root}: must be a folder that holds train/CLASS/*.png and test/CLASS/*.png "
            f"({error.filename}: {error.strerror})"
        ) from None
    train, test = ([folder.name for folder in found[split]] for split in _SPLITS)
    if not train or train != test:
        odd = sorted({*train} ^ {*test})
        told = f"only one of them has {shown(', '.join(odd))}" if odd else "they have no folder"
        raise OptionError(f"data_root={root}: train and test must hold the same classes; {told}")
    return found


def _files(folders: list[Path]) -> Iterator[tuple[int, Path]]:
    """Yields the label and path of each image, class by class."""
    for label, folder in enumerate(folders):
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _ENDINGS)
        if not paths:
            raise OptionError(f"{folder}: must hold images ({', '.join(sorted(_ENDINGS))})")
        yield from ((label, path) for path in paths)


def _digests(root: Path, path: Path) -> list[bytes]:
    """Returns a file's place and a digest of its content."""
    from raylot.datasets._arrays import digest_of

    return [path.relative_to(root).as_posix().encode(), digest_of([path.read_bytes()]).encode()]


@functools.lru_cache(16)
def _facts(root: Path, image_size: int | None, state: tuple[int, ...]) -> Facts:
    """Looks through all files; the state tells whether they are still the same."""
    from raylot.datasets._arrays import digest_of

    seen: dict[tuple[int, int], Path] = {}
    modes: set[str] = set()
    digests: list[bytes] = []
    counts: dict[str, list[int]] = {}
    for split, folders in _classes(root).items():
        counts[split] = [0] * len(folders)
        for label, path in _files(folders):
            with _opened(path) as image:
                seen.setdefault(image.size, path)
                modes.add(image.mode)
                if image.mode not in (*_GREY, *_COLOUR):
                    raise OptionError(
                        f"{path}: must have 8 bits for each channel, not {image.mode}"
                    )
            digests += _digests(root, path)
            counts[split][label] += 1
    if image_size is None and len(seen) > 1:
        (one, at), (other, there) = list(seen.items())[:2]
        raise OptionError(
            f"data_root={root}: must hold images of one size, or image_size=N resizes them; "
            f"{at.relative_to(root)} is {one[0]}x{one[1]}, {there.relative_to(root)} "
            f"{other[0]}x{other[1]}"
        )
    width, height = (image_size, image_size) if image_size else next(iter(seen))
    return Facts(
        shape=(1 if modes <= {*_GREY} else 3, height, width),
        train_sizes=tuple(counts["train"]),
        test_sizes=tuple(counts["test"]),
        digest=digest_of(digests),
    )


def _opened(path: Path) -> Any:
    from PIL import Image

    try:
        return Image.open(path)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise OptionError(
            f"{path}: must be an image that can be read ({one_line(error)})"
        ) from None


def _values(image: Any, shape: tuple[int, ...]) -> np.ndarray:
    import numpy as np
    from PIL import Image

    channels, height, width = shape
    try:
        plain = image.convert("L" if channels == 1 else "RGB")
        if plain.size != (width, height):
            plain = plain.resize((width, height), Image.Resampling.BILINEAR)
    except (OSError, SyntaxError, ValueError) as error:  # a file that ends too early
        told = f"{image.filename}: must be an image that can be read ({one_line(error)})"
        raise OptionError(told) from None
    return np.moveaxis(np.asarray(plain).reshape(height, width, channels), -1, 0)
