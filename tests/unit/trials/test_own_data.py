"""Whole chains of runs on data of one's own: the data decide the tables, not where they lie."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import raylot
from raylot.foundation import registry
from raylot.results import SCHEMAS, read
from tests.unit.datasets.own_files import own_arrays, write_images, write_npz
from tests.unit.trials.runs import run_all

#: Columns that say which run a row is of.
_OF_RUN = ["run_id", "stream_run_id", "protocol", "dataset"]


@pytest.fixture(autouse=True)
def _no_plugins_stay() -> None:
    registry.forget()


def tables(root: Path) -> dict[str, pd.DataFrame]:
    """All tables but ``runs``, without what names runs."""
    found = {name: read(root, name) for name in SCHEMAS if name != "runs"}
    for name, table in found.items():
        told = table.drop(columns=_OF_RUN, errors="ignore")
        found[name] = told.sort_values(list(told.columns)).reset_index(drop=True)
    return found


@pytest.mark.parametrize("network", ["mlp", "vgg"])
def test_the_same_images_give_the_same_tables_cell_for_cell(network: str, tmp_path: Path) -> None:
    arrays = own_arrays(train=60, test=30)
    options = {
        "network": network, "width": 2, "scaling": "standardize", "batch_size": 16,
        "snapshots": "0,2",
    }  # fmt: skip
    path = write_npz(tmp_path / "own.npz", **arrays)
    run_all(tmp_path / "a", "ticket", dataset="npz", data_file=path, **options)
    root = write_images(tmp_path / "images", **arrays)
    run_all(tmp_path / "b", "ticket", dataset="image_folder", data_root=root, **options)
    one, other = tables(tmp_path / "a"), tables(tmp_path / "b")
    assert not one["tickets"].empty
    assert not one["tasks"].empty
    for name, table in one.items():
        pd.testing.assert_frame_equal(table, other[name], check_exact=True)
    runs = read(tmp_path / "a", "runs")
    assert set(runs["dataset"]) == {"npz"}
    assert runs["data_digest"].nunique() == 1


def test_features_with_float_inputs_and_their_plastic_parameters(tmp_path: Path) -> None:
    """The plastic parameters' own scaling is that of each feature."""
    (tmp_path / "own.py").write_text(
        "import numpy as np, pandas as pd\n"
        "from raylot import plugins\n"
        '@plugins.dataset("mine")\n'
        "def mine(options):\n"
        "    random, label = np.random.default_rng(0), np.arange(60) % 4\n"
        "    far = {f'x{i}': 50 * i + label * (i == 2) + random.random(60) for i in range(5)}\n"
        "    frame = pd.DataFrame({**far, 'label': label})\n"
        "    return frame[:40], frame[40:]\n"
    )
    raylot.plugins.load(tmp_path / "own.py")
    run_all(
        tmp_path / "results", dataset="mine", batch_size=8, plastic_scaling="standardize",
        shifts="class_split", classes_per_task=4, plastic_task="same",
    )  # fmt: skip
    runs = read(tmp_path / "results", "runs")
    assert set(runs["status"]) == {"finished"}
    assert set(runs["kind"]) == {"stream", "probes", "measurement", "tickets"}
    assert not read(tmp_path / "results", "plastic_parameters").empty
    assert {*runs["engine_used"].dropna()} == {"fast"}


def test_the_engines_agree_on_float_inputs_of_several_scales() -> None:
    arrays = own_arrays(train=60, test=30, shape=(6,))
    inputs = {name: arrays[name] / 255.0 for name in ("x_train", "x_test")}
    task = raylot.Task(
        inputs["x_train"].astype("float32"), arrays["y_train"],
        inputs["x_test"].astype("float32"), arrays["y_test"], 3,
        offset=(0.5, 0, 0, 0.1, 0, 0), divisor=(1, 2, 3, 4, 5, 6),
    )  # fmt: skip
    network = raylot.mlp((6,), (8,), 3)
    found = {
        engine: raylot.find_tickets(
            network, task, sparsity=0.5, count=2, rounds=1, epochs=2,
            random_masks=0, engine=engine, device="cpu", lr=0.01, batch_size=10,
        )
        for engine in ("generic", "fast")
    }  # fmt: skip
    assert found["generic"].accuracies == found["fast"].accuracies
    overlaps = [one.overlaps() for one in found.values()]
    pd.testing.assert_frame_equal(*overlaps)
