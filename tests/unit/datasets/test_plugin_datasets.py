"""Data sets of plugins: what they may return, when they are loaded, and what a run of them is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import raylot
from raylot import datasets
from raylot.config import DataOptions, MeasurementRun, StreamRun, TicketsRun
from raylot.foundation import registry
from raylot.foundation.errors import OptionError
from raylot.tasks.datasets import packed, unpacked

HEAD = """
import numpy as np, pandas as pd, torch
import raylot
from raylot import plugins
from torch.utils.data import Dataset, TensorDataset

random = np.random.default_rng(0)
x, y = random.integers(0, 256, (12, 3, 4, 5), dtype=np.uint8), np.arange(12) % 3
"""

OWN = '@plugins.dataset("mine")\ndef mine(options):\n'


@pytest.fixture(autouse=True)
def _no_plugins_stay() -> Iterator[None]:
    registry.forget()
    yield
    registry.forget()


def load_plugin(folder: Path, body: str, head: str = HEAD) -> Path:
    path = folder / "own.py"
    path.write_text(head + OWN + "".join(f"    {line}\n" for line in body.splitlines()))
    raylot.plugins.load(path)
    return path


def refusal(**options: Any) -> str:
    with pytest.raises(OptionError) as caught:
        StreamRun.checked(dataset="mine", batch_size=4, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


#: What a function returns -> shape of an input, and the first of them.
RETURNED = {
    "x, y, x, y": ((3, 4, 5), "uint8"),
    "[x, y, x[:6], y[:6]]": ((3, 4, 5), "uint8"),
    "x.transpose(0, 2, 3, 1), y, x.transpose(0, 2, 3, 1), y": ((3, 4, 5), "uint8"),
    "torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(x), torch.from_numpy(y)":
        ((3, 4, 5), "uint8"),
    "raylot.Task(x, y, x, y, 3)": ((3, 4, 5), "uint8"),
    "raylot.Task(x, y, x, y, 3, offset=1, divisor=(1, 2, 3))": ((3, 4, 5), "float32"),
    "(TensorDataset(torch.from_numpy(x), torch.from_numpy(y)),) * 2": ((3, 4, 5), "uint8"),
    "(TensorDataset(torch.from_numpy(x / 2), torch.from_numpy(y)),) * 2": ((3, 4, 5), "float32"),
    "(pd.DataFrame(x[:, 0, 0] * 1.0).assign(label=y),) * 2": ((5,), "float32"),
    "(pd.DataFrame(x[:, 0, 0]).assign(label=y),) * 2": ((5,), "float32"),
}  # fmt: skip


@pytest.mark.parametrize("returned", RETURNED)
def test_what_it_returns_becomes_a_task(returned: str, tmp_path: Path) -> None:
    load_plugin(tmp_path, f"return {returned}")
    shape, kind = RETURNED[returned]
    task = raylot.load_dataset("mine")
    assert (task.input_shape, task.classes) == (shape, 3)
    assert task.train_inputs.dtype == getattr(torch, kind)
    assert task.train_labels.tolist() == [0, 1, 2] * 4
    first = float(task.train_inputs.flatten(1)[1, 0])

    own = np.random.default_rng(0).integers(0, 256, (12, 3, 4, 5), dtype=np.uint8)[1, 0, 0, 0]
    expected = {"raylot.Task(x, y, x, y, 3, offset=1, divisor=(1, 2, 3))": float(own) - 1}
    halved = float(own) / 2 if "x / 2" in returned else float(own)
    assert first == expected.get(returned, halved)
    assert raylot.load_dataset("mine", scaling="unit").divisor == (
        255 if kind == "uint8" else float(task.train_inputs.abs().max())
    )


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("1 / 0", "cannot be loaded: ZeroDivisionError: division by zero (at own.py:11)"),
        ("raise SystemExit(3)", "cannot be loaded: SystemExit: 3 (at own.py:11)"),
        ("return x, y", "cannot be loaded: TypeError: must return a raylot.Task, or (x_train, "),
        ("return None", "cannot be loaded: TypeError: must return a raylot.Task, or (x_train, "),
        ("return x, y, x, [0, 1, 2]", "y_test must be a numpy array, not <class 'list'>"),
        ("return x, y, x, y[:5]", "y_test must be of shape (12,), one label for each input of"),
        ("return raylot.Task(x, y, x, y, 4)",
         "cannot be loaded: ValueError: must return a task with classes=3, as its labels say"),
        ("return (TensorDataset(torch.from_numpy(x), torch.from_numpy(y + 0.7)),) * 2",
         "y_train must be whole numbers from 0, not "),
        ("return (pd.DataFrame(x[:, 0, 0]).assign(labels=y),) * 2",
         "cannot be loaded: ValueError: the training frame must have a column label"),
        ("a = pd.DataFrame(x[:, 0, 0]).assign(label=y)\nreturn a, a.assign(more=1)",
         "cannot be loaded: ValueError: both frames must have the same columns"),
        ("return (pd.DataFrame(x[:, 0, 0]).assign(name='a', label=y),) * 2",
         "cannot be loaded: ValueError: column name of the training frame must hold numbers"),
        ("return (pd.DataFrame(x[:, 0, 0]).assign(label=['a', 'b', 'c'] * 4),) * 2",
         "y_train must be whole numbers from 0, not "),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_line(body: str, told: str, tmp_path: Path) -> None:
    load_plugin(tmp_path, body)
    assert refusal().startswith(f"dataset=mine: {told}")


def test_its_code_and_its_data_are_part_of_every_runs_identity(tmp_path: Path) -> None:
    data = tmp_path / "numbers"
    data.write_text("3")
    body = "level = int((options.data_root / 'numbers').read_text())\nreturn x, y, x + level, y"
    given = {"dataset": "mine", "batch_size": 4, "data_root": tmp_path}
    load_plugin(tmp_path, body)
    first = StreamRun.checked(**given)
    assert first.plugins is not None
    assert first.plugins.startswith("dataset:mine:")
    load_plugin(tmp_path, body + "  # a comment")
    assert StreamRun.checked(**given).run_id == first.run_id
    load_plugin(tmp_path, "other = 1\n" + body)
    changed = StreamRun.checked(**given)
    assert changed.run_id != first.run_id
    assert changed.protocol != first.protocol
    assert changed.data_digest == first.data_digest
    data.write_text("4")
    load_plugin(tmp_path, body)
    assert StreamRun.checked(**given).run_id != first.run_id
    for kind in (TicketsRun, MeasurementRun):  # they stand on the stream, and name its data too
        more = {"measured": "weights"} if kind is MeasurementRun else {}
        run = kind.checked(**given, **more)
        assert run.stream.run_id == StreamRun.checked(**given).run_id
        assert run.stream.plugins == run.plugins


def test_it_is_loaded_once_and_never_where_the_data_are_shared(tmp_path: Path) -> None:
    log = tmp_path / "calls"
    load_plugin(tmp_path, f"open({str(log)!r}, 'a').write('called\\n')\nreturn x, y, x, y")
    run = StreamRun.checked(dataset="mine", batch_size=4)
    for seed in range(3):
        StreamRun.checked(dataset="mine", batch_size=4, seed=seed)
    facts, arrays = packed(run)
    assert log.read_text() == "called\n"
    registry.install([])
    registry.forget()  # as in a worker, which executes the plugin's text again
    raylot.plugins.load(tmp_path / "own.py")
    datasets.remember({datasets.key_of(run): facts})
    try:
        again = StreamRun.checked(**run.model_dump())
        assert again.run_id == run.run_id
        assert len(unpacked((facts, arrays)).train_labels) == 12
    finally:
        datasets._told.clear()
    assert log.read_text() == "called\n"


def test_it_gets_the_options_of_data_alone(tmp_path: Path) -> None:
    load_plugin(tmp_path, "assert type(options).__name__ == 'DataOptions'\noptions.seed")
    assert "AttributeError" in refusal()
    load_plugin(tmp_path, "return [x, y, x, y] if options.image_size == 5 else None")
    assert StreamRun.checked(dataset="mine", image_size=5, batch_size=4).facts.classes == 3


def test_registering_and_asking_for_help_imports_no_torch(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(f"from raylot import plugins\n{OWN}    return 1\n")
    code = (
        f"import sys; from raylot import plugins; plugins.load({str(path)!r}); "
        "from raylot.config import DataOptions; DataOptions.checked(dataset='mine'); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("name", ["digits", "npz"])
def test_a_built_in_name_is_taken(name: str, tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(f"from raylot import plugins\nplugins.dataset({name!r})(lambda options: 1)\n")
    with pytest.raises(OptionError, match="must have another name, as this is built in"):
        raylot.plugins.load(path)
    with pytest.raises(OptionError, match=r"^dataset=mine: must be one of "):
        DataOptions.checked(dataset="mine")
