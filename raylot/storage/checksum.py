"""A checksum inside a file of tensors: snapshots, masks and saved states each carry their own.

A writer puts `BLANK` among the file's metadata; `with_checksum` replaces it by the SHA-256 of the
whole file. Tables have page checksums instead (`raylot.results.files`).
"""

from __future__ import annotations

import hashlib
import re

from raylot.foundation.text import one_line

_NAME = "raylot-sha256:"
_ZEROS = "0" * 64
_CHECKSUM = re.compile(_NAME.encode() + rb"([0-9a-f]{64})")

#: Metadata to write a file with: key and value.
KEY, BLANK = "checksum", _NAME + _ZEROS


class DamagedFileError(ValueError):
    """A file's bytes differ from those that were written.

    Attributes:
        path: in the storage.
        reason: what is wrong with the file.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(one_line(f"{path}: damaged ({reason})"))
        self.path, self.reason = path, reason


def with_checksum(data: bytes) -> bytes:
    """Returns a file's contents with their checksum in place of `BLANK`."""
    return data.replace(BLANK.encode(), (_NAME + fingerprint(data)).encode(), 1)


def fingerprint(data: bytes) -> str:
    """Returns the SHA-256 of a file with zeros in place of the checksum in it.

    In an undamaged file, the checksum equals it.
    """
    found = _CHECKSUM.search(data)
    if found is None:
        return hashlib.sha256(data).hexdigest()
    digest = hashlib.sha256(data[: found.start(1)] + _ZEROS.encode())
    digest.update(memoryview(data)[found.end(1) :])
    return digest.hexdigest()


def check(data: bytes, path: str) -> None:
    """Checks a file's contents.

    Raises:
        DamagedFileError: the checksum does not fit them, or is missing.
    """
    found = _CHECKSUM.search(data)
    if found is None:
        raise DamagedFileError(path, "it has no checksum")
    if found[1].decode() != fingerprint(data):
        raise DamagedFileError(path, "its checksum does not fit")
