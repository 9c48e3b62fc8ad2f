"""Checksums inside the files of a storage: what is damaged is noticed, and never read as data.

A Parquet or safetensors file is written with `BLANK` among its metadata, which `sealed` then
replaces by the SHA-256 of the whole file. The file stays what it is for every other reader.
"""

from __future__ import annotations

import hashlib
import re

_NAME = b"raylot-sha256:"
_ZEROS = b"0" * 64

#: Metadata to write a file with: key and value.
KEY, BLANK = "checksum", (_NAME + _ZEROS).decode()


class DamagedFileError(ValueError):
    """A file is not what was written.

    Attributes:
        path: in the storage.
        reason: what is wrong with it.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: damaged ({reason})")
        self.path, self.reason = path, reason

    def __reduce__(self) -> tuple[type[DamagedFileError], tuple[str, str]]:
        return type(self), (self.path, self.reason)


def sealed(data: bytes) -> bytes:
    """A file that was written with `BLANK` once among its metadata, with its checksum there.

    Raises:
        ValueError: `BLANK` is not there, or more than once.
    """
    if data.count(BLANK.encode()) != 1:
        raise ValueError("a file is sealed once, at the place that was left blank for it")
    return data.replace(_NAME + _ZEROS, _NAME + hashlib.sha256(data).hexdigest().encode())


def checksum(data: bytes) -> str | None:
    """The checksum with which a file is sealed; None if it has none that fits."""
    for found in re.finditer(re.escape(_NAME) + rb"([0-9a-f]{64})", data):
        digest = hashlib.sha256(data[: found.start(1)])
        digest.update(_ZEROS)
        digest.update(memoryview(data)[found.end(1) :])
        if digest.hexdigest().encode() == found[1]:
            return found[1].decode()
    return None


def fingerprint(data: bytes) -> str:
    """What tells a file's contents from others': its checksum, if it is sealed."""
    return checksum(data) or hashlib.sha256(data).hexdigest()


def is_sealed(data: bytes) -> bool:
    """Whether a file has a checksum at all; those written before there were any have none."""
    return _NAME in data


def check(data: bytes, path: str) -> bytes:
    """The file itself, if it is what was written, as far as its checksum tells.

    Raises:
        DamagedFileError: it is empty, cut off or changed.
    """
    if not data:
        raise DamagedFileError(path, "it is empty")
    if is_sealed(data) and checksum(data) is None:
        raise DamagedFileError(path, "its checksum does not fit")
    return data
