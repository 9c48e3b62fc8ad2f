"""Own arrays: every accepted shape and type, and one line for all others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raylot import load_dataset
from raylot.config import StreamRun, Study
from raylot.foundation.errors import OptionError
from tests.unit.datasets.own_files import own_arrays, write_npz


def run_on(path: Path, **options: Any) -> StreamRun:
    return StreamRun.checked(dataset="npz", data_file=path, batch_size=4, **options)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((7,), (7,)),
        ((4, 5), (1, 4, 5)),
        ((4, 5, 3), (3, 4, 5)),
        ((4, 5, 1), (1, 4, 5)),
        ((3, 4, 5), (3, 4, 5)),
        ((2, 4, 5), (2, 4, 5)),
        ((3, 3, 3), (3, 3, 3)),
    ],
)
@pytest.mark.parametrize("kind", ["uint8", "float32", "float64", "float16"])
def test_inputs_are_read_by_their_shape(
    shape: tuple[int, ...], expected: tuple[int, ...], kind: str, tmp_path: Path
) -> None:
    arrays = own_arrays(shape=shape)
    inputs = {name: array.astype(kind) for name, array in arrays.items() if name[0] == "x"}
    path = write_npz(tmp_path / "own.npz", **{**arrays, **inputs})
    task = load_dataset("npz", file=path)
    assert (task.input_shape, task.classes) == (expected, 3)
    assert task.train_inputs.dtype == (torch.uint8 if kind == "uint8" else torch.float32)
    first = inputs["x_train"][5].astype("float32")
    if expected != shape and len(shape) == 3:
        first = np.moveaxis(first, -1, 0)
    assert task.train_inputs[5].float().tolist() == first.reshape(expected).tolist()
    assert task.train_labels.tolist() == arrays["y_train"].tolist()
    facts = run_on(path).facts
    assert facts.shape == task.input_shape
    assert (facts.train_sizes, facts.test_sizes) == ((4, 4, 4), (2, 2, 2))
    assert facts.size == task.train_inputs.nbytes + task.test_inputs.nbytes


def test_unit_divides_by_what_a_byte_can_be_or_the_largest_magnitude(tmp_path: Path) -> None:
    task = load_dataset("npz", file=write_npz(tmp_path / "bytes.npz"), scaling="unit")
    assert task.divisor == 255
    signed = {name: own_arrays()[name] / 8.0 - 30.0 for name in ("x_train", "x_test")}
    signed["x_train"][3, 0, 0, 0] = -64.0
    path = write_npz(tmp_path / "floats.npz", **signed)
    assert load_dataset("npz", file=path, scaling="unit").divisor == 64


@pytest.mark.parametrize("kind", ["uint8", "float32"])
@pytest.mark.parametrize("shape", [(4, 5, 3), (6,)])
def test_each_channel_is_standardised_by_itself(
    kind: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    arrays = own_arrays(shape=shape)
    for name in ("x_train", "x_test"):
        arrays[name][..., 1] //= 4
        arrays[name][..., 2] = 7  # tells nothing
        arrays[name] = arrays[name].astype(kind)
    path = write_npz(tmp_path / "own.npz", **arrays)
    task = load_dataset("npz", file=path, scaling="standardize")
    scaled = task.scale(task.train_inputs).double()
    places = [i for i in range(scaled.dim()) if i != 1]
    assert scaled.mean(places).tolist() == pytest.approx([0] * shape[-1], abs=1e-6)
    expected = [1.0] * shape[-1]
    expected[2] = 0.0
    assert scaled.std(places, correction=0).tolist() == pytest.approx(expected, abs=1e-6)


def test_the_content_is_part_of_the_identity_and_the_path_is_not(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "own.npz")
    first = run_on(path)
    moved = path.rename(tmp_path / "moved.npz")
    assert run_on(moved).run_id == first.run_id
    other = own_arrays()
    other["x_test"][0, 0, 0, 0] ^= 1
    changed = run_on(write_npz(tmp_path / "own.npz", **other))
    assert changed.run_id != first.run_id
    assert changed.protocol != first.protocol
    assert StreamRun(data_file=moved) == StreamRun()


def test_a_run_on_data_that_have_changed_since_is_refused(tmp_path: Path) -> None:
    run = run_on(write_npz(tmp_path / "own.npz"))
    again = StreamRun.checked(**run.model_dump())
    assert again.run_id == run.run_id
    write_npz(tmp_path / "own.npz", y_test=np.array([2, 1, 0, 0, 1, 2]))
    with pytest.raises(OptionError, match=r"^data_digest=\w{12}: .* have changed since"):
        StreamRun.checked(**run.model_dump())


_X, _Y = own_arrays()["x_train"], own_arrays()["y_train"]
_BAD = _X.astype("float32")
_BAD[2, 0, 0, 0] = np.nan

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"y_test": None}, "must hold x_train, y_train, x_test, y_test, and lacks y_test; it has "),
    ({"x_test": _X[:6, :3]}, "x_test must hold inputs of shape (3, 4, 5), as x_train, not (3, 3,"),
    ({"x_train": _X.astype("int32")}, "x_train must be uint8 or floating-point numbers, not int32"),
    ({"x_test": _X[:6] / 2}, "x_test must be of uint8, as x_train, not float64"),
    ({"x_train": _X[:, 0, 0, 0]}, "x_train must be of shape (n, height, width), "),
    ({"x_train": _X[..., None]}, "x_train must be of shape (n, height, width), "),
    ({"x_train": _X[:0], "y_train": _Y[:0]}, "x_train must be of shape (n, height, width), "),
    ({"y_train": _Y[:5]}, "y_train must be of shape (12,), one label for each input of x_train"),
    ({"y_train": _Y[:, None]}, "y_train must be of shape (12,), one label for each input"),
    ({"y_train": _Y / 1}, "y_train must be whole numbers from 0, not float64; try y_train.astype"),
    ({"y_train": np.eye(3)[_Y] / 2}, "y_test must be of shape (n, targets), with 6 inputs and 3 "),
    (
        {"y_train": np.eye(3)[_Y], "y_test": np.eye(3)[_Y[:6]]},
        "y_train must be class numbers, as y_train.argmax(1), and not one-hot",
    ),
    (
        {"y_train": _Y[:, None][:, :0] / 1},
        "y_train must be of shape (n, targets), with 12 inputs and at least 1 targets as y_train,",
    ),
    ({"y_train": _Y - 1}, "y_train must be whole numbers from 0 to at most 1000000, not -1 to 1"),
    ({"y_train": _Y * 2}, "y_train must hold each of the labels 0 to 4, and lacks 1"),
    ({"y_test": _Y[:6]}, "y_test must hold each of the labels 0 to 2, and lacks 2"),
    ({"x_train": _BAD, "x_test": _BAD[6:]}, "x_train must be finite as float32"),
    ({"y_train": np.array([None] * 12)}, "y_train must be whole numbers from 0, not object"),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "told"), REFUSED, ids=[told for _, told in REFUSED])
def test_other_arrays_are_refused_in_one_line(
    changed: dict[str, Any], told: str, tmp_path: Path
) -> None:
    path = write_npz(tmp_path / "own.npz", **changed)
    with pytest.raises(OptionError) as caught:
        load_dataset("npz", file=path)
    assert str(caught.value).startswith(f"data_file={path}: {told}")
    assert "\n" not in str(caught.value)


def test_what_is_no_npz_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no numbers")
    for path, reason in (
        (tmp_path / "text", "File is not a zip file"),
        (tmp_path, "Is a directory"),
        (tmp_path / "none", "No such file or directory"),
    ):
        with pytest.raises(OptionError, match="must be an npz file of numpy") as caught:
            Study.checked(dataset="npz", data_file=str(path))
        assert f"data_file={path}: " in str(caught.value)
        assert reason in str(caught.value)
    with pytest.raises(OptionError, match=r"^data_file is not given: must be"):
        Study.checked(dataset="npz")


def test_fewer_classes_or_examples_than_asked_for_are_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "own.npz")
    for options, told in (
        ({"shift": "class_split", "classes_per_task": 4},
         "classes_per_task=4: must be at most 3, the classes of npz"),
        ({"drop_last": True, "batch_size": 13}, "batch_size=13: must be at most 12 with drop_last"),
    ):  # fmt: skip
        with pytest.raises(OptionError) as caught:
            StreamRun.checked(dataset="npz", data_file=path, **options)
        assert str(caught.value).startswith(told)
    features = write_npz(tmp_path / "features.npz", **own_arrays(shape=(7,)))
    for options, told in (
        ({"shift": "rotation"}, "shift=rotation: must be another shift for inputs of shape (7,)"),
        (
            {"network": "lenet"},
            "network=lenet: must be mlp or lenet_300_100 for inputs of shape (7,)",
        ),
        ({"network": "vit"}, "network=vit: must be mlp or lenet_300_100 for inputs of shape (7,)"),
    ):
        with pytest.raises(OptionError) as caught:
            run_on(features, **options)
        assert str(caught.value).startswith(told)


def test_what_does_not_fit_half_of_the_memory_is_refused_with_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_npz(tmp_path / "own.npz")  # 18 x 60 bytes
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PAGE_SIZE": 10, "SC_PHYS_PAGES": 215}[name])
    with pytest.raises(OptionError, match=r"^dataset=npz: must fit half of this machine's memory"):
        load_dataset("npz", file=path)
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PAGE_SIZE": 10, "SC_PHYS_PAGES": 216}[name])
    assert len(load_dataset("npz", file=path).train_labels) == 12


def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    arrays = {**own_arrays(), "x_train": np.zeros((12, 60, 60, 3), np.uint8)}
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    content = bytearray(path.read_bytes())
    begin = content.index(b"x_train.npy") + 40
    content[begin : begin + 30] = b"\xff" * 30
    path.write_bytes(content)
    with pytest.raises(OptionError, match=r"must be an npz file of numpy that can be read \(") as e:
        load_dataset("npz", file=path)
    assert "\n" not in str(e.value)
