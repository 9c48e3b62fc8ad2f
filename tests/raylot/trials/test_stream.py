"""The stream trial: what a snapshot is, and the fresh network beside it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from raylot import networks, results
from raylot.config import StreamRun
from raylot.randomness import RandomKey
from raylot.storage import Storage
from raylot.trials.state import tensors_from_bytes
from raylot.trials.stream import StreamTrial, snapshot_path, snapshot_tasks
from raylot.trials.tickets import TicketsTrial
from tests.raylot.trials.runs import finish, trial_config


def test_a_snapshot_is_the_state_before_its_task_and_is_paired_with_that_task(
    tmp_path: Path,
) -> None:
    config = trial_config(tmp_path)
    storage = Storage(tmp_path)
    trial = StreamTrial(config)
    run_id = trial.run.run_id
    trial.step()
    trial.step()
    before_task_2 = {name: t.clone() for name, t in trial._network.state_dict().items()}
    finish(trial)
    assert snapshot_tasks(storage, run_id) == [0, 2, 3]
    saved = tensors_from_bytes(storage.read(snapshot_path(run_id, 2)) or b"")
    assert all(torch.equal(saved[name], value) for name, value in before_task_2.items())

    finish(TicketsTrial(trial_config(tmp_path, task=2)))
    tasks = results.read(tmp_path, "tasks").set_index("task")
    (snapshot,) = results.read(tmp_path, "snapshots").to_dict("records")
    for measure in ("test_accuracy", "online_accuracy", "learning_speed"):
        assert snapshot[measure] == tasks[measure][2]
    plasticity = results.read(tmp_path, "plasticity")
    gap = plasticity[(plasticity["task"] == 2) & (plasticity["metric"] == "trainability_gap")]
    assert snapshot["trainability_gap"] == gap["value"].item()


def test_the_trainability_gap_compares_with_a_fresh_network_and_can_be_left_out(
    tmp_path: Path,
) -> None:
    finish(StreamTrial(trial_config(tmp_path / "with")))
    finish(StreamTrial(trial_config(tmp_path / "without", trainability_gap=False)))
    with_gap = results.read(tmp_path / "with", "plasticity")
    without = results.read(tmp_path / "without", "plasticity")
    assert set(with_gap["metric"]) - set(without["metric"]) == {"trainability_gap"}
    # it must not change the stream itself
    one, other = (results.read(tmp_path / name, "tasks") for name in ("with", "without"))
    assert one["test_accuracy"].tolist() == other["test_accuracy"].tolist()


def test_a_diverging_fresh_network_leaves_its_stream_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = networks.build

    def broken(run: StreamRun, shape: Any, classes: int, key: RandomKey) -> torch.nn.Module:
        network = build(run, shape, classes, key)
        if "fresh network" in key.path:
            torch.nn.init.constant_(next(network.parameters()), math.inf)
        return network

    monkeypatch.setattr(networks, "build", broken)
    finish(StreamTrial(trial_config(tmp_path)))
    (run,) = results.read(tmp_path, "runs").to_dict("records")
    assert run["status"] == "finished"
    assert results.read(tmp_path, "tasks")["test_accuracy"].notna().all()
    gaps = results.read(tmp_path, "plasticity").query("metric == 'trainability_gap'")
    assert gaps["value"].isna().tolist() == [True] * 3
