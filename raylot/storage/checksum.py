"""A checksum inside a file of tensors: snapshots, masks and saved states each carry their own.

The file is written with `BLANK` among its metadata, which `sealed` replaces by the SHA-256 of the
whole file. Tables were sealed like this before they had page checksums (`raylot.results.files`).
"""

from __future__ import annotations

import hashlib
import re

from raylot.foundation.text import one_line

_NAME = "raylot-sha256:"
_ZEROS = "0" * 64
_SEAL = re.compile(_NAME.encode() + rb"([0-9a-f]{64})")

#: Metadata to write a file with: key and value.
KEY, BLANK = "checksum", _NAME + _ZEROS


class DamagedFileError(ValueError):
    """A file is not what was written.

    Attributes:
        path: in the storage.
        reason: what is wrong with it.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(one_line(f"{path}: damaged ({reason})"))
        self.path, self.reason = path, reason

    def __reduce__(self) -> tuple[type[DamagedFileError], tuple[str, str]]:
        return type(self), (self.path, self.reason)


def sealed(data: bytes) -> bytes:
    """Puts a file's checksum where `BLANK` stands in it."""
    return data.replace(BLANK.encode(), (_NAME + fingerprint(data)).encode(), 1)


def fingerprint(data: bytes) -> str:
    """The SHA-256 of a file with zeros in place of its seal; an undamaged seal states the same."""
    seal = _SEAL.search(data)
    if seal is None:
        return hashlib.sha256(data).hexdigest()
    digest = hashlib.sha256(data[: seal.start(1)] + _ZEROS.encode())
    digest.update(memoryview(data)[seal.end(1) :])
    return digest.hexdigest()


def check(data: bytes, path: str, *, is_required: bool = False) -> bool:
    """Whether a file has a seal; files of older versions have none.

    Raises:
        DamagedFileError: its contents do not match the seal, or it has none though it must.
    """
    seal = _SEAL.search(data)
    if seal is None and is_required:
        raise DamagedFileError(path, "it has no checksum")
    if seal is not None and seal[1].decode() != fingerprint(data):
        raise DamagedFileError(path, "its checksum does not fit")
    return seal is not None
