"""Checksums in files: every change is noticed, and the files stay readable for everybody else."""

from __future__ import annotations

import pickle
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch

from raylot import results, seal
from raylot.seal import DamagedFileError
from raylot.storage import Storage
from raylot.trials.state import tensors_to_bytes

_ROW = {"run_id": "abc", "task": 3, "test_accuracy": 0.5}


@pytest.fixture(params=["parquet", "safetensors"])
def content(request: pytest.FixtureRequest, tmp_path: Path) -> bytes:
    if request.param == "safetensors":
        return tensors_to_bytes({"a": torch.arange(5.0)}, {"state": "{}"})
    results.write(Storage(tmp_path), "tasks", "abc", [_ROW])
    return (tmp_path / "tables/tasks/abc.parquet").read_bytes()


def test_every_flipped_bit_is_noticed(content: bytes) -> None:
    """Or is in the name of the checksum alone: then the file counts as one without."""
    assert seal.check(content, "path") == content
    name = range(content.index(b"raylot-sha256:"), content.index(b"raylot-sha256:") + 14)
    for position in range(len(content)):
        for bit in range(0, 8, 7):
            changed = bytearray(content)
            changed[position] ^= 1 << bit
            if position in name:
                assert not seal.is_sealed(bytes(changed))
                continue
            with pytest.raises(DamagedFileError, match=r"^path: damaged \(its checksum does not"):
                seal.check(bytes(changed), "path")


def test_every_cut_is_noticed(content: bytes) -> None:
    with pytest.raises(DamagedFileError, match="it is empty"):
        seal.check(b"", "path")
    for length in range(content.index(b"raylot-sha256:") + 14, len(content)):
        with pytest.raises(DamagedFileError):
            seal.check(content[:length], "path")


def test_sealed_files_are_ordinary_files(tmp_path: Path) -> None:
    results.write(Storage(tmp_path), "tasks", "abc", [_ROW])
    assert pq.read_table(tmp_path / "tables/tasks/abc.parquet").to_pylist()[0]["task"] == 3
    tensors = safetensors.torch.load(tensors_to_bytes({"a": torch.arange(5.0)}))
    assert tensors["a"].tolist() == [0, 1, 2, 3, 4]


def test_a_file_without_a_checksum_is_taken_as_it_is() -> None:
    """As those are that were written before there were any: their formats tell what is cut."""
    assert seal.check(b"PAR1", "path") == b"PAR1"
    assert seal.fingerprint(b"PAR1") != seal.fingerprint(b"PAR2")


def test_a_file_is_sealed_once() -> None:
    with pytest.raises(ValueError, match="sealed once"):
        seal.sealed(b"no place was left")
    with pytest.raises(ValueError, match="sealed once"):
        seal.sealed(seal.BLANK.encode() * 2)


def test_damage_travels_between_processes() -> None:
    damage = pickle.loads(pickle.dumps(DamagedFileError("tables/a", "it is empty")))
    assert (damage.path, damage.reason) == ("tables/a", "it is empty")
