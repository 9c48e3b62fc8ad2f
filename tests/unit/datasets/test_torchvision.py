"""Data sets as torchvision keeps them: read as it reads them, and as their facts say."""

from __future__ import annotations

import gzip
import inspect
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import datasets as theirs

from raylot import load_dataset
from raylot.config import DataOptions, StreamRun
from raylot.datasets import DATASETS, Facts
from raylot.datasets._idx import NAMES, IdxFiles
from raylot.datasets._torchvision import TorchvisionFiles
from raylot.foundation.errors import OptionError
from tests.support import needs

ALL = ("mnist", "fashion_mnist", "kmnist", "emnist", "cifar10", "cifar100", "svhn")


def options(**given: Any) -> DataOptions:
    return DataOptions.checked(**given)


@pytest.mark.parametrize("name", ALL)
def test_what_is_not_there_is_refused_before_anything_is_loaded(name: str, tmp_path: Path) -> None:
    dataset = DATASETS[name]
    with pytest.raises(OptionError, match=r"^data_root is not given: must be the folder that hold"):
        dataset.check_there(options(dataset=name, download=True))
    with pytest.raises(OptionError) as caught:
        dataset.check_there(options(dataset=name, data_root=tmp_path))
    assert str(caught.value).startswith(f"data_root={tmp_path}: must be a folder that holds ")
    assert "download=True puts" in str(caught.value)
    dataset.check_there(options(dataset=name, data_root=tmp_path, download=True))


@pytest.mark.parametrize("name", ALL)
def test_facts_are_known_without_files(name: str) -> None:
    facts = StreamRun(dataset=name).facts
    published = {
        "mnist": (60000, 10000, 10), "fashion_mnist": (60000, 10000, 10),
        "kmnist": (60000, 10000, 10), "emnist": (112800, 18800, 47),
        "cifar10": (50000, 10000, 10), "cifar100": (50000, 10000, 100),
        "svhn": (73257, 26032, 10),
    }  # fmt: skip
    assert (facts.training_examples, sum(facts.test_sizes), facts.classes) == published[name]
    assert facts.shape == ((3, 32, 32) if name in ("cifar10", "cifar100", "svhn") else (1, 28, 28))


def test_each_split_of_emnist_has_its_own_files_facts_and_identity(tmp_path: Path) -> None:
    published = {
        "balanced": (112800, 18800, 47), "letters": (124800, 20800, 26),
        "digits": (240000, 40000, 10), "mnist": (60000, 10000, 10),
    }  # fmt: skip
    run_ids = set()
    for split, numbers in published.items():
        run = StreamRun(dataset="emnist", emnist_split=split)
        facts = run.facts
        assert (facts.training_examples, sum(facts.test_sizes), facts.classes) == numbers
        run_ids.add(run.run_id)
        # torchvision names the files so
        files = theirs.EMNIST.__new__(theirs.EMNIST)
        files.root, files.split, files.train = str(tmp_path), split, True
        path = Path(files.images_file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"nothing")
        with pytest.raises(OptionError, match="four files"):
            DATASETS["emnist"].check_there(
                options(dataset="emnist", emnist_split=split, data_root=tmp_path)
            )
        for name in path.name, path.name.replace("train", "test"):
            (path.parent / name).touch()
            (path.parent / name.replace("images-idx3", "labels-idx1")).touch()
        DATASETS["emnist"].check_there(
            options(dataset="emnist", emnist_split=split, data_root=tmp_path)
        )
    assert len(run_ids) == 4


def write_idx(folder: Path, labels: list[int], *, packed: bool) -> np.ndarray:
    """Two splits of images of 2x3 pixels; returns those of the first."""
    folder.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 2, 3), dtype=np.uint8)
    for name in NAMES:
        array = images if "images" in name else np.array(labels, np.uint8)
        header = np.array([0x800 + array.ndim, *array.shape], dtype=">u4").tobytes()
        content = header + array.tobytes()
        path = folder / (f"{name}.gz" if packed else name)
        path.write_bytes(gzip.compress(content) if packed else content)
    return images


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("first", [0, 1])
def test_idx_files_are_read_packed_or_not_and_labels_count_from_0(
    packed: bool, first: int, tmp_path: Path
) -> None:
    labels = [first, first + 1, first, first]
    images = write_idx(tmp_path / "own", labels, packed=packed)

    def never(root: Path) -> None:
        raise AssertionError("it is there")

    files = IdxFiles("Own", "own", never, Facts((1, 2, 3), (3, 1), (3, 1)), first_label=first)
    source = options(dataset="mnist", data_root=tmp_path, download=True)
    files.check_there(source)
    files.download(source)
    for read, expected in zip(files.load(source), [images[:, None], [0, 1, 0, 0]] * 2, strict=True):
        assert np.array_equal(read, expected)
    narrow = replace(files, known=Facts((1, 2, 3), (4,), (4,)))
    with pytest.raises(OptionError, match=rf"must hold labels from {first} to {first}, not"):
        narrow.load(source)


def test_a_damaged_packed_file_is_one_line(tmp_path: Path) -> None:
    write_idx(tmp_path / "own", [0, 1], packed=True)
    path = tmp_path / "own" / f"{NAMES[2]}.gz"
    whole = path.read_bytes()
    for content in (whole[:-12], whole[:12] + b"\xff" * 40 + whole[52:], b"no gzip"):
        path.write_bytes(content)
        files = IdxFiles("Own", "own", lambda root: None, Facts((1, 2, 3), (1, 1), (1, 1)))
        with pytest.raises(OptionError) as caught:
            files.load(options(dataset="mnist", data_root=tmp_path))
        assert str(caught.value).startswith(f"{path}: must be a gzipped file (")


def test_fashion_mnist_is_read_as_torchvision_reads_it(tmp_path: Path) -> None:
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for path in needs.fashion_mnist().iterdir():
        (raw / path.name).symlink_to(path)
    packed = load_dataset("fashion_mnist", root=tmp_path, scaling="standardize")
    assert packed.offset / 255 == pytest.approx(0.2860, abs=5e-5)  # as others report
    assert packed.divisor / 255 == pytest.approx(0.3530, abs=5e-5)
    for path in list(raw.iterdir()):
        with gzip.open(path) as file, path.with_suffix("").open("wb") as unpacked:
            shutil.copyfileobj(file, unpacked)
        path.unlink()
    for split in ("train", "test"):
        files = theirs.FashionMNIST(str(tmp_path), train=split == "train")
        inputs, labels = (getattr(packed, f"{split}_{what}") for what in ("inputs", "labels"))
        assert torch.equal(inputs[:, 0], files.data)
        assert torch.equal(labels, files.targets)
    assert load_dataset("fashion_mnist", root=tmp_path).train_inputs.shape == (60000, 1, 28, 28)


def colourful(kind: str, examples: int = 4) -> Any:
    """What torchvision's classes hold once they have read: CIFAR's and SVHN's differ."""
    images = np.random.default_rng(0).integers(0, 256, (examples, 32, 32, 3), dtype=np.uint8)
    if kind == "CIFAR10":
        return SimpleNamespace(data=images, targets=[0, 1, 1, 0])
    return SimpleNamespace(data=images.transpose(0, 3, 1, 2), labels=np.array([0, 1, 1, 0]))


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("CIFAR10", [{"train": True}, {"train": False}]),
        ("SVHN", [{"split": "train"}, {"split": "test"}]),
    ],
)
def test_colour_images_come_channels_first(
    kind: str, parts: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[dict[str, Any]] = []
    parameters = inspect.signature(getattr(theirs, kind)).parameters

    def open_own(root: str, **given: Any) -> Any:
        assert given.keys() <= parameters.keys()
        opened.append(given)
        return colourful(kind)

    monkeypatch.setattr(theirs, kind, open_own)
    files = DATASETS[kind.lower()]
    images, labels, _, _ = files.load(options(dataset=kind.lower(), data_root=tmp_path))
    assert images.shape == (4, 3, 32, 32)
    assert images[2, 1, 5, 7] == colourful("CIFAR10").data[2, 5, 7, 1]
    assert (labels.dtype, labels.tolist()) == (np.int64, [0, 1, 1, 0])
    assert opened == [{**part, "download": False} for part in parts]


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "svhn"])
def test_files_that_are_not_as_published_are_never_read(name: str, tmp_path: Path) -> None:
    """CIFAR's files are pickles: torchvision compares their checksums before it opens them."""
    dataset: Any = DATASETS[name]
    path = tmp_path / dataset.file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    with pytest.raises(OptionError) as caught:
        load_dataset(name, root=tmp_path)
    assert str(caught.value).startswith(f"data_root={tmp_path}: must be a folder that holds ")
    assert "as published (" in str(caught.value)


def test_a_data_set_with_other_labels_than_published_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Facts((3, 32, 32), (2, 2), (1, 3))
    (tmp_path / "file").touch()
    monkeypatch.setattr(theirs, "CIFAR10", lambda root, **given: colourful("CIFAR10"))
    monkeypatch.setitem(DATASETS, "cifar10", TorchvisionFiles("Own", "file", "CIFAR10", known))
    with pytest.raises(OptionError, match=r"^dataset=cifar10: must have \(1, 3\) examples of its"):
        load_dataset("cifar10", root=tmp_path)
