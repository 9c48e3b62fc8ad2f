"""raylot.data: the splits as they are stored, scaling by formula, and what is said without data."""

from __future__ import annotations

import math
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from raylot.config import TRAINING_EXAMPLES, DataOptions
from raylot.data import Task, from_arrays, load_dataset, scaled, to_arrays
from raylot.options import OptionError

FILES = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]


@pytest.fixture(scope="module")
def digits() -> Task:
    return load_dataset("digits")


@pytest.fixture(scope="module")
def mnist(mnist_root: Path) -> Task:
    return load_dataset("mnist", root=mnist_root)


def refusal(load: Callable[[], Task]) -> str:
    """The message with which loading is refused, which must be one line."""
    with pytest.raises(OptionError) as caught:
        load()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def pairs(images: torch.Tensor, labels: torch.Tensor) -> Counter[tuple[bytes, int]]:
    """How often each labelled image occurs."""
    return Counter(
        (image.numpy().tobytes(), label)
        for image, label in zip(images, labels.tolist(), strict=True)
    )


# ------------------------------------------------------------------ digits


def test_digits_shapes_and_types(digits: Task) -> None:
    assert digits.train_inputs.shape == (1437, 1, 8, 8)
    assert digits.test_inputs.shape == (360, 1, 8, 8)
    assert digits.train_labels.shape == (1437,)
    assert digits.test_labels.shape == (360,)
    assert digits.train_inputs.dtype == digits.test_inputs.dtype == torch.uint8
    assert digits.train_labels.dtype == digits.test_labels.dtype == torch.int64
    assert digits.classes == 10
    assert digits.input_shape == (1, 8, 8)
    assert TRAINING_EXAMPLES["digits"] == 1437


@pytest.mark.parametrize("split", ["train", "test"])
def test_digits_use_their_whole_range(digits: Task, split: str) -> None:
    images = getattr(digits, f"{split}_inputs")
    assert (int(images.min()), int(images.max())) == (0, 16)


def test_digits_are_split_evenly_by_class(digits: Task) -> None:
    # 360 of 1,797 are 0.2003 of each class: 35.7 of the 178 zeros, 34.9 of the 174 eights
    test = torch.bincount(digits.test_labels).tolist()
    assert test == [36, 36, 35, 37, 36, 37, 36, 36, 35, 36]
    both = torch.bincount(digits.train_labels) + torch.bincount(digits.test_labels)
    assert both.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_digits_are_all_there_once_and_labelled_as_they_were(digits: Task) -> None:
    stored = load_digits()
    images = torch.from_numpy(stored.images.astype("uint8"))
    everything = pairs(images, torch.from_numpy(stored.target))
    assert set(everything.values()) == {1}  # no duplicates, so any overlap would be a leak
    train = pairs(digits.train_inputs, digits.train_labels)
    test = pairs(digits.test_inputs, digits.test_labels)
    assert train + test == everything
    assert not train & test


def test_the_split_of_digits_is_pinned(digits: Task) -> None:
    assert digits.train_labels[:10].tolist() == [3, 9, 1, 3, 1, 9, 4, 4, 2, 8]
    assert digits.test_labels[:10].tolist() == [7, 6, 3, 7, 7, 3, 2, 8, 9, 3]


# ------------------------------------------------------------------ scaling


@pytest.mark.parametrize(
    ("offset", "divisor", "expected"),
    [
        (0.0, 1.0, [0.0, 8.0, 16.0]),
        (0.0, 16.0, [0.0, 0.5, 1.0]),
        (8.0, 4.0, [-2.0, 0.0, 2.0]),
    ],
)
def test_scale_by_hand(offset: float, divisor: float, expected: list[float]) -> None:
    images = torch.tensor([[0, 8, 16]], dtype=torch.uint8)
    labels = torch.tensor([0])
    task = Task(images, labels, images, labels, 10, offset, divisor)
    scaled = task.scale(images)
    assert scaled.dtype == torch.float32
    assert scaled.tolist() == [expected]
    assert images.tolist() == [[0, 8, 16]]


def test_raw_keeps_the_values(digits: Task) -> None:
    scaled = digits.scale(digits.train_inputs)
    assert scaled.dtype == torch.float32
    assert torch.equal(scaled, digits.train_inputs.float())


def test_unit_divides_by_the_largest_value(digits: Task) -> None:
    unit = load_dataset("digits", scaling="unit")
    assert torch.equal(unit.train_inputs, digits.train_inputs)  # stored as they were
    assert torch.equal(unit.scale(unit.test_inputs), digits.test_inputs.float() / 16)


def test_standardize_is_that_of_the_training_split(digits: Task) -> None:
    standardized = load_dataset("digits", scaling="standardize")
    train = digits.train_inputs.double()
    mean = train.sum() / train.numel()
    deviation = ((train - mean).square().sum() / train.numel()).sqrt()
    scaled = standardized.scale(standardized.train_inputs).double()
    assert float(scaled.mean()) == pytest.approx(0, abs=1e-6)
    assert float(scaled.std(correction=0)) == pytest.approx(1, abs=1e-6)
    test = standardized.scale(standardized.test_inputs).double()
    torch.testing.assert_close(
        test, (digits.test_inputs.double() - mean) / deviation, rtol=0, atol=1e-6
    )


# ------------------------------------------------------------------ MNIST


def test_mnist_shapes_and_types(mnist: Task) -> None:
    assert mnist.train_inputs.shape == (60000, 1, 28, 28)
    assert mnist.test_inputs.shape == (10000, 1, 28, 28)
    assert mnist.train_inputs.dtype == mnist.test_inputs.dtype == torch.uint8
    assert mnist.train_labels.dtype == mnist.test_labels.dtype == torch.int64
    assert (int(mnist.train_inputs.min()), int(mnist.train_inputs.max())) == (0, 255)
    assert mnist.classes == 10
    assert TRAINING_EXAMPLES["mnist"] == 60000


def test_mnist_labels(mnist: Task) -> None:
    assert mnist.test_labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert mnist.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert torch.bincount(mnist.test_labels)[0] == 980  # zeros, as LeCun counts them


def test_mnist_mean_and_deviation_are_the_usual_ones(mnist_root: Path) -> None:
    mnist = load_dataset("mnist", root=mnist_root, scaling="standardize")
    assert mnist.offset / 255 == pytest.approx(0.1307, abs=5e-5)
    assert mnist.divisor / 255 == pytest.approx(0.3081, abs=5e-5)


def test_mnist_unit_reaches_one(mnist_root: Path) -> None:
    mnist = load_dataset("mnist", root=mnist_root, scaling="unit")
    assert float(mnist.scale(mnist.test_inputs[:100]).max()) == 1.0


# ------------------------------------------------------------------ tasks of users

_INPUTS, _LABELS = torch.rand(6, 4), torch.arange(6) % 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_labels": _LABELS[:2]}, "train_labels: must be one per input; 2 for 6 inputs"),
        ({"test_labels": _LABELS[:2]}, "test_labels: must be one per input; 2 for 6 inputs"),
        (
            {"train_inputs": _INPUTS[:0], "train_labels": _LABELS[:0]},
            "train_inputs: must have the shape (examples, ...) with at least one example; "
            "has (0, 4)",
        ),
        (
            {"test_inputs": torch.rand(6)},
            "test_inputs: must have the shape (examples, ...) with at least one example; has (6,)",
        ),
        (
            {"train_labels": torch.tensor([0, 1, 2, 0, 1, -100])},
            "train_labels: must lie in [0, 3), as there are 3 classes; one is -100",
        ),
        (
            {"train_labels": _LABELS + 1},
            "train_labels: must lie in [0, 3), as there are 3 classes; one is 3",
        ),
        (
            {"train_labels": _LABELS.view(6, 1)},
            "train_labels: must have the shape (examples,), one class per example; has (6, 1) "
            "(take .flatten())",
        ),
        (
            {"train_labels": torch.eye(3)[_LABELS]},
            "train_labels: must have the shape (examples,), one class per example; has (6, 3) "
            "(of one-hot, .argmax(1))",
        ),
        (
            {"train_labels": _LABELS.float()},
            "train_labels: must be whole numbers; has torch.float32",
        ),
        (
            {"train_labels": ["a"] * 6},
            "train_labels: must be a tensor or an array of numbers; is list",
        ),
        (
            {"train_inputs": _INPUTS.to(torch.complex64)},
            "train_inputs: must be real numbers; has torch.complex64",
        ),
        (
            {"train_inputs": _INPUTS.index_fill(0, torch.tensor([2]), math.nan)},
            "train_inputs: must be finite; some are NaN or infinite",
        ),
        (
            {"test_inputs": torch.rand(6, 5)},
            "test_inputs: each must have the shape of those in train_inputs, (4,); has (5,)",
        ),
        ({"classes": 0}, "classes=0: must be a whole number, at least 1"),
        ({"classes": 2.5}, "classes=2.5: must be a whole number, at least 1"),
        ({"offset": math.inf}, "offset=inf: must be a finite number"),
        ({"divisor": 0}, "divisor=0: must be a finite number other than 0"),
    ],
)
def test_a_task_that_cannot_be_is_refused_in_one_line(
    changes: dict[str, Any], message: str
) -> None:
    fields = {
        "train_inputs": _INPUTS, "train_labels": _LABELS, "test_inputs": _INPUTS,
        "test_labels": _LABELS, "classes": 3,
    }  # fmt: skip
    assert refusal(lambda: Task(**{**fields, **changes})) == message


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.bool])
def test_labels_of_other_whole_types_are_converted(dtype: torch.dtype) -> None:
    labels = (_LABELS % 2).to(dtype)
    task = Task(_INPUTS, labels, _INPUTS, labels, 2)
    assert task.train_labels.dtype == task.test_labels.dtype == torch.int64
    assert task.train_labels.tolist() == [0, 1, 0, 0, 1, 0]


def test_numpy_arrays_are_taken_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    inputs, labels = _INPUTS.numpy().astype("float64"), _LABELS.numpy().astype("int32")
    inputs.flags.writeable = False
    task = Task(inputs, labels, inputs[::-1], labels, np.int64(3))  # type: ignore[arg-type]
    assert task.scale(task.train_inputs).dtype == torch.float32
    assert torch.equal(task.test_inputs, task.train_inputs.flip(0))
    assert task.train_labels.dtype == torch.int64
    assert not recwarn.list


def test_a_task_is_shown_in_one_line(digits: Task) -> None:
    assert repr(digits) == (
        "Task(1437 training and 360 test examples of shape (1, 8, 8), uint8, 10 classes)"
    )


# ------------------------------------------------------------------ without data


@pytest.mark.parametrize("download", [False, True])
def test_mnist_without_a_root_is_refused(download: bool) -> None:
    message = refusal(lambda: load_dataset("mnist", download=download))
    assert message.startswith("data_root=None: must be the folder that holds MNIST")


@pytest.mark.parametrize("missing", [FILES, *[[name] for name in FILES]])
def test_mnist_that_is_not_there_is_refused(
    missing: list[str], mnist_root: Path, tmp_path: Path
) -> None:
    link_mnist(mnist_root, tmp_path, leave_out=missing)
    message = refusal(lambda: load_dataset("mnist", root=tmp_path))
    assert message.startswith(f"data_root={tmp_path}: must be a folder that holds MNIST")
    assert str(tmp_path / "MNIST" / "raw") in message
    assert "download=true" in message


@pytest.mark.parametrize("size", [0, 8, 5000])
@pytest.mark.parametrize("damaged", FILES)
def test_mnist_that_is_damaged_is_refused(
    damaged: str, size: int, mnist_root: Path, tmp_path: Path
) -> None:
    link_mnist(mnist_root, tmp_path, leave_out=[damaged])
    content = (mnist_root / "MNIST" / "raw" / damaged).read_bytes()
    (tmp_path / "MNIST" / "raw" / damaged).write_bytes(content[:size])
    message = refusal(lambda: load_dataset("mnist", root=tmp_path))
    assert message.startswith(f"data_root={tmp_path}: must hold MNIST; ")
    assert f"{damaged} is damaged or another data set's" in message


def _idx(*shape: int, fill: int = 0) -> bytes:
    head = bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
    return head + bytes([fill]) * math.prod(shape)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train-labels-idx1-ubyte", _idx(60_001)),
        ("train-labels-idx1-ubyte", _idx(59_999)),
        ("train-labels-idx1-ubyte", _idx(60_000, fill=10)),
        ("train-labels-idx1-ubyte", _idx(60_000) + b"more"),
        ("train-images-idx3-ubyte", _idx(1, 28, 28)),
        ("train-images-idx3-ubyte", _idx(60_000, 14, 14)),
        ("t10k-images-idx3-ubyte", _idx(10_000, 28, 56)),
        ("t10k-labels-idx1-ubyte", _idx(10_000, 1)),
    ],
)
def test_files_of_other_sizes_are_refused(
    name: str, content: bytes, mnist_root: Path, tmp_path: Path
) -> None:
    link_mnist(mnist_root, tmp_path, leave_out=[name])
    (tmp_path / "MNIST" / "raw" / name).write_bytes(content)
    message = refusal(lambda: load_dataset("mnist", root=tmp_path))
    assert message.startswith(f"data_root={tmp_path}: must hold MNIST; ")
    assert f"{name} is damaged or another data set's" in message


def test_damaged_files_of_an_old_torchvision_do_not_matter(
    mnist_root: Path, tmp_path: Path
) -> None:
    link_mnist(mnist_root, tmp_path, leave_out=[])
    processed = tmp_path / "MNIST" / "processed"
    processed.mkdir()
    for name in ("training.pt", "test.pt"):
        (processed / name).write_bytes(b"damaged")
    assert len(load_dataset("mnist", root=tmp_path, download=True).train_labels) == 60_000


@pytest.mark.parametrize("below", ["folder", "file"])
def test_a_download_that_fails_is_one_line(
    below: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy"):  # so that nothing can be reached
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setattr(urllib.request, "_opener", None)  # it keeps the proxies of its first use
    (tmp_path / "file").write_text("no folder")
    root = tmp_path / below / "data"
    message = refusal(lambda: load_dataset("mnist", root=root, download=True))
    assert message.startswith(f"download=True: MNIST could not be downloaded into {root}")
    assert str(root / "MNIST" / "raw") in message


def test_a_download_of_what_is_there_needs_no_network(
    mnist_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    assert len(load_dataset("mnist", root=mnist_root, download=True).test_labels) == 10000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "cifar"}, "dataset=cifar: must be one of digits, mnist"),
        ({"scaling": "log"}, "scaling=log: must be one of raw, unit, standardize"),
    ],
)
def test_unknown_names_are_refused(options: dict[str, str], message: str) -> None:
    assert refusal(lambda: load_dataset(**options)) == message  # type: ignore[arg-type]


def link_mnist(mnist_root: Path, root: Path, leave_out: list[str]) -> None:
    """MNIST under another root, without some of its files."""
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name in FILES:
        if name not in leave_out:
            (folder / name).symlink_to(mnist_root / "MNIST" / "raw" / name)


def test_arrays_are_the_data_set_itself_and_may_be_read_only(
    recwarn: pytest.WarningsRecorder,
) -> None:
    dataset = load_dataset("digits")
    arrays = to_arrays(dataset)
    for array in arrays.values():
        array.flags.writeable = False
    again = from_arrays(arrays)
    assert again.train_inputs.data_ptr() == dataset.train_inputs.data_ptr()  # no copy
    assert all(torch.equal(getattr(again, name), getattr(dataset, name)) for name in arrays)
    assert again.classes == 10
    assert not recwarn.list


def test_standardising_by_hand() -> None:
    inputs = torch.tensor([[0, 0, 4, 4]], dtype=torch.uint8)  # mean 2, standard deviation 2
    labels = torch.zeros(1, dtype=torch.int64)
    task = scaled(Task(inputs, labels, inputs, labels, 10), DataOptions(scaling="standardize"))
    assert (task.offset, task.divisor) == (2, 2)
    assert task.scale(inputs).tolist() == [[-1, -1, 1, 1]]
