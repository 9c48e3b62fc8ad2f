"""The splits as they are stored, scaling by formula, and what is said without data."""

from __future__ import annotations

import dataclasses
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
from torchvision.datasets import MNIST

from raylot.config import DataOptions, ShiftOptions
from raylot.datasets import DATASETS, _idx
from raylot.foundation.errors import OptionError
from raylot.tasks import Task, load_dataset, make_task
from raylot.tasks.datasets import packed, unpacked

FILES = list(_idx.NAMES)


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


def check_facts(name: str, task: Task) -> None:
    """What is said of a data set without loading it is true of it."""
    facts = DATASETS[name].facts(DataOptions(dataset=name))
    assert facts.shape == task.input_shape
    assert facts.classes == task.classes
    assert facts.training_examples == len(task.train_labels)
    assert list(facts.train_sizes) == torch.bincount(task.train_labels).tolist()
    assert list(facts.test_sizes) == torch.bincount(task.test_labels).tolist()
    assert facts.size == task.train_inputs.nbytes + task.test_inputs.nbytes
    assert facts.largest == max(task.train_inputs.max(), task.test_inputs.max())


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
    check_facts("digits", digits)


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


# ------------------------------------------------------------------ tasks of one's own

_X, _Y = torch.rand(6, 2, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 3


def task_of(**given: Any) -> Task:
    """Six examples of two numbers in three classes, the same in both splits, or others."""
    usual = {"train_inputs": _X, "train_labels": _Y, "test_inputs": _X, "test_labels": _Y}
    return Task(**{**usual, "classes": 3, **given})


_WRONG: list[tuple[dict[str, Any], str]] = [
    ({"train_labels": _Y[:2]}, "train_labels: must be as many as train_inputs, 6, not 2"),
    ({"test_inputs": _X[:2]}, "test_labels: must be as many as test_inputs, 2, not 6"),
    ({"train_inputs": _X[:0], "train_labels": _Y[:0]},
     "train_labels: must be of at least one example, not of none"),
    ({"test_inputs": _X[:0], "test_labels": _Y[:0]},
     "test_labels: must be of at least one example, not of none"),
    ({"train_labels": _Y * 0 - 100},
     "train_labels: must lie in [0, 3), as classes=3, not in [-100, -100]"),
    ({"test_labels": _Y + 1},
     "test_labels: must lie in [0, 3), as classes=3, not in [1, 3]; they count from 0"),
    ({"classes": 2}, "train_labels: must lie in [0, 2), as classes=2, not in [0, 2]"),
    ({"train_labels": _Y[:, None]},
     "train_labels: must be of shape (examples,), not (6, 1); try .squeeze(1)"),
    ({"train_labels": torch.eye(3)[_Y].long()},
     "train_labels: must be of shape (examples,), not (6, 3); try .argmax(1) if they are one-hot"),
    ({"train_labels": _Y.float()},
     "train_labels: must be whole numbers, not torch.float32; convert them with .long(), or give "
     "classes=None for regression"),
    ({"classes": None}, "train_labels: must be floating-point targets with classes=None, not "),
    ({"classes": None, "train_labels": _Y.float(), "test_labels": _Y.float()},
     "train_labels: must be of shape (examples, targets) with classes=None, not (6,); try "),
    ({"classes": None, "train_labels": _X, "test_labels": _X[:, :1]},
     "test_labels: must hold 2 targets each, as train_labels do, not 1"),
    ({"classes": None, "train_labels": _X / 0, "test_labels": _X},
     "train_labels: must be finite as float32"),
    ({"test_labels": _Y.tolist()},
     "test_labels: must be a dense tensor or a numpy array, not list"),
    ({"train_labels": np.array(["a"] * 6)},
     "train_labels: must be an array of numbers, not of <U1"),
    ({"train_inputs": np.array([object()] * 6)},
     "train_inputs: must be an array of numbers, not of object"),
    ({"train_inputs": None}, "train_inputs: must be a dense tensor or a numpy array, not NoneType"),
    ({"train_inputs": _X.to_sparse()},
     "train_inputs: must be a dense tensor or a numpy array, not torch.sparse_coo"),
    ({"test_inputs": _X.to("meta")},
     "test_inputs: must be a dense tensor or a numpy array, not a meta tensor"),
    ({"train_inputs": torch.nested.nested_tensor([_X[0], _X[1, :1]])},
     "train_inputs: must be a dense tensor or a numpy array, not a nested tensor"),
    ({"train_inputs": torch.quantize_per_tensor(_X, 0.1, 0, torch.quint8)},
     "train_inputs: must be a dense tensor or a numpy array, not a quantised tensor"),
    ({"train_inputs": _X * 1j}, "train_inputs: must be real numbers, not torch.complex64"),
    ({"train_inputs": _X[:, 0]},
     "train_inputs: must be of shape (examples, ...) with numbers in each example, not (6,)"),
    ({"train_inputs": _X[:, :0]},
     "train_inputs: must be of shape (examples, ...) with numbers in each example, not (6, 0)"),
    ({"test_inputs": _X.view(6, 1, 2)},
     "test_inputs: must be of shape (2,) each, as train_inputs are, not (1, 2)"),
    ({"train_inputs": _X.index_fill(0, torch.tensor(4), math.nan)},
     "train_inputs: must be finite as float32, not in [nan, nan]"),
    ({"test_inputs": _X.index_fill(0, torch.tensor(4), -math.inf)},
     "test_inputs: must be finite as float32, not in [-inf, "),
    ({"train_inputs": _X.double() + 1e39},
     "train_inputs: must be finite as float32, not in [1e+39, "),
    ({"train_inputs": _X * 0 + 1e30, "divisor": 1e-20},
     "divisor=1e-20: must leave train_inputs in "),
    ({"test_inputs": _X * 0 - 3e38, "offset": 3e38}, "divisor=1.0: must leave test_inputs in "),
    ({"train_inputs": torch.ones(6, 2, dtype=torch.uint8), "divisor": 1e-50},
     "divisor=1e-50: must leave train_inputs in [1, 1], less offset=0.0, finite as float32"),
    ({"classes": 0}, "classes=0: must be a whole number, at least 1"),
    ({"classes": 3.0}, "classes=3.0: must be a whole number, at least 1"),
    ({"classes": True, "train_labels": _Y * 0, "test_labels": _Y * 0},
     "classes=True: must be a whole number, at least 1"),
    ({"divisor": True}, "divisor=True: must be a finite number"),
    ({"train_labels": _Y > 0}, "train_labels: must be whole numbers, not torch.bool; convert"),
    ({"divisor": 0}, "divisor=0: must not be 0"),
    ({"offset": math.nan}, "offset=nan: must be a finite number"),
    ({"offset": (1, math.inf)}, "offset=(1, inf): must be a finite number"),
    ({"divisor": (1, 0)}, "divisor=(1, 0): must not be 0"),
    ({"divisor": (1, 2, 3)}, "divisor: must be one number, or one for each of the 2 channels, "),
    ({"train_inputs": _X * 0 + 1e30, "divisor": (1, 1e-20)},
     "divisor=(1, 1e-20): must leave train_inputs in "),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "message"), _WRONG, ids=[message for _, message in _WRONG])
def test_a_task_that_does_not_fit_together_is_one_line(wrong: dict[str, Any], message: str) -> None:
    assert refusal(lambda: task_of(**wrong)).startswith(message)


def test_labels_without_a_dimension_are_not_said_to_be_one_hot() -> None:
    told = refusal(lambda: task_of(train_labels=torch.tensor(0)))
    assert told == "train_labels: must be of shape (examples,), not ()"


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16])
def test_labels_of_other_integer_types_are_converted(dtype: torch.dtype) -> None:
    task = task_of(train_labels=_Y.to(dtype))
    assert torch.equal(task.train_labels, _Y)
    assert task.train_labels.dtype == torch.int64


@pytest.mark.parametrize("dtype", ["float64", "float16", "uint8", "int32", "bool", ">f4", ">i2"])
@pytest.mark.parametrize("reverse", [False, True])
def test_arrays_are_converted(dtype: str, reverse: bool) -> None:
    images = np.arange(12).reshape(6, 2).astype(dtype)
    labels = np.arange(6, dtype=">u2") % 3
    images, labels = (images[::-1], labels[::-1]) if reverse else (images, labels)
    images.flags.writeable = False
    task = task_of(train_inputs=images, train_labels=labels)
    assert task.scale(task.train_inputs).tolist() == images.astype("float32").tolist()
    assert task.train_labels.tolist() == labels.tolist()


def test_what_is_written_into_an_array_later_does_not_change_the_task() -> None:
    images, labels = _X.numpy().copy(), _Y.numpy().copy()
    task = task_of(train_inputs=images, train_labels=labels)
    images[:], labels[:] = 7, 0
    assert torch.equal(task.train_inputs, _X)
    assert torch.equal(task.train_labels, _Y)


@pytest.mark.parametrize(
    ("dtype", "wider"),
    [(torch.uint16, torch.int32), (torch.uint32, torch.int64), (torch.uint64, torch.float64),
     (torch.bfloat16, torch.float32), (torch.float8_e4m3fn, torch.float32)],
)  # fmt: skip
def test_inputs_of_types_that_few_operations_take_are_widened(
    dtype: torch.dtype, wider: torch.dtype
) -> None:
    images = torch.tensor([[0.0, 1.0], [8.0, 16.0]])
    labels = torch.tensor([0, 1])
    task = Task(images.to(dtype), labels, images.to(dtype), labels, 2)
    assert (task.train_inputs.dtype, task.train_inputs.tolist()) == (wider, images.tolist())
    for shift in ("permuted_pixels", "noise"):
        shifted = make_task(task, ShiftOptions.checked(shift=shift), 0, 3)
        assert shifted.train_inputs.dtype == wider


def test_what_fits_stays_the_same_object_and_needs_no_gradient() -> None:
    task = task_of()
    assert task.train_inputs is _X
    assert task.test_labels is _Y
    assert not task_of(train_inputs=_X.clone().requires_grad_()).train_inputs.requires_grad


def test_a_task_equals_itself_alone(digits: Task) -> None:
    assert digits == digits
    assert digits != dataclasses.replace(digits)


def test_tasks_print_as_one_short_line(digits: Task) -> None:
    assert repr(digits) == (
        "Task(1437 training and 360 test examples of shape (1, 8, 8), 10 classes)"
    )


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


def test_each_channel_is_scaled_by_itself_however_many_dimensions_lead() -> None:
    images = torch.tensor([[[[0, 8]], [[16, 24]]]], dtype=torch.uint8)  # 1 x 2 x 1 x 2
    labels = torch.tensor([0])
    task = Task(images, labels, images, labels, 1, offset=(0, 16), divisor=(2, 8))
    assert task.scale(images).tolist() == [[[[0, 4]], [[0, 1]]]]
    assert task.scale(images.expand(5, 1, 2, 1, 2))[3].tolist() == [[[[0, 4]], [[0, 1]]]]


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
    check_facts("mnist", mnist)


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


# ------------------------------------------------------------------ without data


@pytest.mark.parametrize("download", [False, True])
def test_mnist_without_a_root_is_refused(download: bool) -> None:
    message = refusal(lambda: load_dataset("mnist", download=download))
    assert message.startswith("data_root is not given: must be the folder that holds MNIST")


@pytest.mark.parametrize("missing", [FILES, *[[name] for name in FILES]])
def test_mnist_that_is_not_there_is_refused(
    missing: list[str], mnist_root: Path, tmp_path: Path
) -> None:
    link_mnist(mnist_root, tmp_path, leave_out=missing)
    message = refusal(lambda: load_dataset("mnist", root=tmp_path))
    assert message.startswith(f"data_root={tmp_path}: must be a folder that holds MNIST")
    assert str(tmp_path / "MNIST" / "raw") in message
    assert "download=True" in message


def test_a_data_root_that_no_file_system_takes_is_refused() -> None:
    message = refusal(lambda: load_dataset("mnist", root="/" + "x" * 300))
    assert message.startswith("data_root=/xxx")
    assert "must be a folder that holds MNIST" in message


def mnist_with(mnist_root: Path, root: Path, name: str, content: bytes) -> Path:
    """MNIST under another root with one file of another content; returns the path of that file."""
    link_mnist(mnist_root, root, leave_out=[name])
    path = root / "MNIST" / "raw" / name
    path.write_bytes(content)
    return path


def idx(magic: int, *shape: int, fill: int = 1) -> bytes:
    """An idx file of one number."""
    numbers = b"".join(number.to_bytes(4, "big") for number in (magic, *shape))
    return numbers + bytes([fill]) * math.prod(shape)


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        (FILES[1], idx(0x801, 60001), "not [2049, 60001] and 60009"),
        (FILES[1], idx(0x801, 59999), "not [2049, 59999] and 60007"),
        (FILES[2], idx(0x803, 10000, 14, 14), "not [2051, 10000, 14, 14] and 1960016"),
        (FILES[0], idx(0x803, 1, 28, 28), "not [2051, 1, 28, 28] and 800"),
        (FILES[3], idx(0xD01, 10000), "not [3329, 10000] and 10008"),
        (FILES[3], idx(0x801, 10000) + b"1", "not [2049, 10000] and 10009"),
        (FILES[3], b"\0\0\x08\x01" + b"\xff" * 4, "not [2049, 4294967295] and 8"),
        (FILES[3], idx(0x801, 10000)[:-1], "not [2049, 10000] and 10007"),
        (FILES[2], idx(0x803, 10000, 28, 28)[:5000], "not [2051, 10000, 28, 28] and 5000"),
        (FILES[1], b"\0\0\x08", "not [] and 3"),
        (FILES[0], b"", "not [] and 0"),
    ],
)  # fmt: skip
def test_mnist_of_other_sizes_is_refused_with_the_file_and_its_numbers(
    name: str, content: bytes, found: str, mnist_root: Path, tmp_path: Path
) -> None:
    path = mnist_with(mnist_root, tmp_path, name, content)
    message = refusal(lambda: load_dataset("mnist", root=tmp_path))
    assert message.startswith(f"{path}: must begin with the numbers [20")
    assert f"{found}; remove it and give download=True" in message


def test_mnist_with_labels_above_9_is_refused(mnist_root: Path, tmp_path: Path) -> None:
    path = mnist_with(mnist_root, tmp_path, FILES[3], idx(0x801, 10000, fill=10))
    message = refusal(lambda: load_dataset("mnist", root=tmp_path))
    assert message == f"{path}: must hold labels from 0 to 9, not 10"


@pytest.mark.parametrize("download", [False, True])
def test_what_old_versions_left_beside_mnist_is_never_read(
    download: bool, mnist_root: Path, tmp_path: Path
) -> None:
    link_mnist(mnist_root, tmp_path, leave_out=[])
    (tmp_path / "MNIST" / "processed").mkdir()
    for name in ("training.pt", "test.pt"):
        (tmp_path / "MNIST" / "processed" / name).write_bytes(b"no pickle")
    loaded = load_dataset("mnist", root=tmp_path, download=download)
    assert len(loaded.train_labels) == 60000


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
    assert " )" not in message
    assert [path.name for path in tmp_path.iterdir()] == ["file"], "no empty folders"


def test_a_download_that_fails_takes_nothing_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch_one(files: MNIST) -> None:
        folder = Path(files.root) / "MNIST" / "raw"
        folder.mkdir(parents=True)
        (folder / FILES[0]).write_bytes(b"fetched")
        raise RuntimeError("no more")

    monkeypatch.setattr(MNIST, "download", fetch_one)
    (tmp_path / "own").mkdir()
    refusal(lambda: load_dataset("mnist", root=tmp_path / "own", download=True))
    assert (tmp_path / "own" / "MNIST" / "raw" / FILES[0]).read_bytes() == b"fetched"


def test_a_download_of_what_is_there_needs_no_network(
    mnist_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    assert len(load_dataset("mnist", root=mnist_root, download=True).test_labels) == 10000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "cifar"},
         f"dataset=cifar: must be one of {', '.join(DATASETS)}; did you mean cifar10?; "
         "--plugin FILE.py adds others"),
        ({"scaling": "log"}, "scaling=log: must be one of raw, unit, standardize"),
    ],
)  # fmt: skip
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
    facts, arrays = packed(DataOptions())
    for array in arrays.values():
        array.flags.writeable = False
    again = unpacked((facts, arrays))
    assert again.train_inputs.data_ptr() == dataset.train_inputs.data_ptr()  # no copy
    assert all(torch.equal(getattr(again, name), getattr(dataset, name)) for name in arrays)
    assert again.classes == 10
    assert not recwarn.list


@pytest.mark.parametrize("given", ["2", 2.5, True])
def test_classes_shown_so_far_are_a_whole_number(given: Any) -> None:
    inputs, labels = torch.zeros(2, 3), torch.tensor([0, 1])
    with pytest.raises(OptionError, match=r"^shown=.*: must be None, or a whole number of classes"):
        Task(inputs, labels, inputs, labels, 3, shown=given)
    with pytest.raises(OptionError, match=r"^shown=2: must be None"):
        Task(inputs, inputs, inputs, inputs, None, shown=2)
    assert Task(inputs, labels, inputs, labels, 3, shown=2).shown == 2
