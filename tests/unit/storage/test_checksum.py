"""Checksums in files of tensors: every change is noticed, and everybody else can read the files."""

from __future__ import annotations

import pytest
import safetensors.torch
import torch

from raylot.storage import checksum
from raylot.storage.checksum import DamagedFileError
from raylot.trials.state import tensors_to_bytes


@pytest.fixture
def content() -> bytes:
    return tensors_to_bytes({"a": torch.arange(5.0)}, {"state": "{}"})


def test_every_flipped_bit_is_noticed(content: bytes) -> None:
    checksum.check(content, "path")
    for position in range(len(content)):
        for bit in range(8):
            changed = bytearray(content)
            changed[position] ^= 1 << bit
            with pytest.raises(
                DamagedFileError, match=r"^path: damaged \((its|it has no) checksum"
            ):
                checksum.check(bytes(changed), "path")


def test_every_cut_is_noticed(content: bytes) -> None:
    for length in range(len(content)):
        with pytest.raises(DamagedFileError):
            checksum.check(content[:length], "path")


def test_a_fingerprint_tells_files_apart_and_equals_the_checksum(content: bytes) -> None:
    assert checksum.fingerprint(content).encode() in content
    assert checksum.fingerprint(content + b"0") != checksum.fingerprint(content)
    assert checksum.fingerprint(b"PAR1") != checksum.fingerprint(b"PAR2")


def test_files_with_a_checksum_are_ordinary_files(content: bytes) -> None:
    assert safetensors.torch.load(content)["a"].tolist() == [0, 1, 2, 3, 4]


def test_a_file_without_a_checksum_is_damaged() -> None:
    with pytest.raises(DamagedFileError, match="it has no checksum"):
        checksum.check(b"PAR1", "path")
