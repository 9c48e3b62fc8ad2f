"""The trial of probe tasks: what it trains, in which order of data, and what it writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from raylot import interventions, networks, results
from raylot.config import ProbeRun, StreamRun
from raylot.foundation.randomness import RandomKey
from raylot.results.integrity import inspect
from raylot.storage import Storage
from raylot.tasks import make_probe_task
from raylot.training import train
from raylot.trials.artifacts import snapshot_path
from raylot.trials.probes import ProbeTrial
from raylot.trials.state import tensors_from_bytes
from raylot.trials.stream import StreamTrial
from tests.unit.trials.runs import finish, trial_config

_MEASURES = [
    "final_train_loss", "train_loss", "test_loss", "test_accuracy", "online_accuracy",
    "learning_speed",
]  # fmt: skip


def _probed(root: Path, **options: Any) -> pd.DataFrame:
    """Trains a stream's snapshots on probe tasks; returns the rows in their order."""
    finish(ProbeTrial(trial_config(root, measured="probes", **{"probe_tasks": 2, **options})))
    return results.read(root, "probes")


@pytest.fixture
def stream(tmp_path: Path) -> StreamRun:
    """A stream in ``tmp_path`` with snapshots 0, 2 and 3."""
    trial = StreamTrial(trial_config(tmp_path))
    finish(trial)
    return trial.run


def test_each_snapshot_and_a_fresh_network_has_a_row_per_probe_task(
    tmp_path: Path, stream: StreamRun
) -> None:
    rows = _probed(tmp_path)
    assert set(rows["stream_run_id"]) == {stream.run_id}
    assert set(rows["probe_shift"]) == {"permuted_pixels"}
    places = list(zip(rows["trained"], rows["task"].fillna(-1), rows["probe_task"], strict=True))
    assert places == [
        ("fresh", -1, 0), ("fresh", -1, 1), *(("snapshot", t, p) for t in (0, 2, 3) for p in (0, 1))
    ]  # fmt: skip
    assert rows[_MEASURES].notna().all(axis=None)


@pytest.mark.usefixtures("stream")
def test_snapshot_0_is_the_fresh_network(tmp_path: Path) -> None:
    rows = _probed(tmp_path)
    fresh, first = (rows[rows["trained"] == "fresh"], rows[rows["task"] == 0])
    np.testing.assert_array_equal(fresh[_MEASURES], first[_MEASURES])
    (run,) = results.read(tmp_path, "runs").query("kind == 'probes'").to_dict("records")
    assert run["training_steps"] == 2 * 3 * 6  # networks 0, 2 and 3; 6 batches


@pytest.mark.parametrize("intervention", ["none", "l2_init", "reset"])
def test_a_row_is_what_training_the_snapshot_on_the_probe_task_finds(
    tmp_path: Path, intervention: str
) -> None:
    """With the stream's own intervention, budget and beginning."""
    options = {"intervention": intervention, "l2_strength": 0.01}
    finish(StreamTrial(trial_config(tmp_path, **options)))
    rows = _probed(tmp_path, **options)
    trial = ProbeTrial(trial_config(tmp_path, measured="probes", probe_tasks=2, **options))
    trial.begin()
    run = trial.run
    task = make_probe_task(trial.dataset(), "permuted_pixels", 2, 0, 1)
    path = snapshot_path(run.stream.run_id, 3)
    saved = tensors_from_bytes(Storage(tmp_path).read(path) or b"")
    network = networks.with_state(trial._built, saved)
    found = train(
        network, task, epochs=1, batch_size=256, optimizer=run,
        key=RandomKey((0, "probe task", 1)), learning_curve=True, initial=trial._initial,
        intervention=interventions.make(run),
    )  # fmt: skip
    (row,) = rows.query("task == 3 and probe_task == 1").to_dict("records")
    for name in ("train_loss", "online_accuracy", "test_accuracy", "learning_speed"):
        assert row[name] == getattr(found, name), name
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(
            network(task.scale(task.train_inputs)), task.train_labels
        )
    assert row["final_train_loss"] == pytest.approx(float(loss), rel=1e-4)


def test_all_streams_of_a_seed_have_the_same_probe_tasks_and_fresh_network(tmp_path: Path) -> None:
    for options in ({}, {"shift": "stationary"}, {"seed": 1}):
        finish(StreamTrial(trial_config(tmp_path, **options)))
        _probed(tmp_path, probe_shift="permuted_pixels", **options)
    rows = results.read(tmp_path, "probes").query("trained == 'fresh'")
    fresh = {
        key: own.sort_values("probe_task")["train_loss"].tolist()
        for key, own in rows.groupby(["seed", "shift"])
    }
    assert fresh[0, "permuted_pixels"] == fresh[0, "stationary"]
    assert fresh[0, "permuted_pixels"] != fresh[1, "permuted_pixels"]
    assert len(set(fresh[0, "permuted_pixels"])) == 2


@pytest.mark.usefixtures("stream")
def test_more_snapshots_and_probe_tasks_are_added(tmp_path: Path) -> None:
    once = tmp_path / "once"
    finish(StreamTrial(trial_config(once)))
    expected = _probed(once)
    _probed(tmp_path, snapshots="2", probe_tasks=1)
    grown = ProbeTrial(trial_config(tmp_path, measured="probes", probe_tasks=2))
    reports = finish(grown)
    # snapshot 3 on both tasks, and snapshot 2 and the fresh network on the second
    assert sum(report["new_training_steps"] for report in reports) == 4 * 6
    found = results.read(tmp_path, "probes")
    pd.testing.assert_frame_equal(found, expected)
    assert inspect(Storage(tmp_path), artifacts=True).damages == []


def test_snapshots_that_a_diverged_stream_lacks_are_left_out(tmp_path: Path) -> None:
    options = {"optimizer": "sgd", "lr": 100.0, "weight_decay": 100.0}
    finish(StreamTrial(trial_config(tmp_path, **options)))
    rows = _probed(tmp_path, **options)
    left = Storage(tmp_path).names(f"artifacts/{rows['stream_run_id'].iloc[0]}")
    tasks = rows["task"].dropna().astype(int).unique()
    assert left == [f"snapshot-{task}.safetensors" for task in tasks]
    assert rows["train_loss"].isna().any() or not np.isfinite(rows["train_loss"]).all()
    (run,) = results.read(tmp_path, "runs").query("kind == 'probes'").to_dict("records")
    assert run["status"] == "finished"
    assert "NaN where a training diverged" in run["notes"]


def test_another_snapshot_than_it_began_with_is_trained_anew(
    tmp_path: Path, stream: StreamRun
) -> None:
    config = trial_config(tmp_path, measured="probes", probe_tasks=1)
    begun = ProbeTrial(config)
    for _ in range(3):  # the fresh network, and snapshots 0 and 2
        begun.step()
    results.forget_runs(Storage(tmp_path), {stream.run_id})
    Storage(tmp_path).delete_folder(f"artifacts/{stream.run_id}")
    with pytest.MonkeyPatch.context() as patch:
        build = networks.build
        patch.setattr(
            networks, "build", lambda run, shape, classes, key, prepare: build(
                run, shape, classes, key.child("other"), prepare
            ),
        )  # fmt: skip
        finish(StreamTrial(trial_config(tmp_path)))
    assert len(finish(ProbeTrial(config))) == 4
    rows = results.read(tmp_path, "probes")
    assert not rows.duplicated(["trained", "task", "probe_task"]).any()
    assert inspect(Storage(tmp_path), artifacts=True).damages == []


def test_its_run_names_the_shift_of_its_tasks(tmp_path: Path) -> None:
    run = ProbeTrial(trial_config(tmp_path, measured="probes", probe_shift="rotation")).run
    assert isinstance(run, ProbeRun)
    assert run.label == "probes seed=0 permuted_pixels on rotation"


@pytest.mark.usefixtures("stream")
def test_probe_tasks_of_class_split_have_the_classes_of_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for a stream whose own tasks have all classes."""
    made = []

    def make(*given: Any) -> Any:
        made.append(make_probe_task(*given).classes)
        return make_probe_task(*given)

    monkeypatch.setattr("raylot.trials.probes.make_probe_task", make)
    of = {"probe_shift": "class_split", "classes_per_task": 5, "probe_tasks": 1}
    _probed(tmp_path, **of)
    assert set(made) == {5}
