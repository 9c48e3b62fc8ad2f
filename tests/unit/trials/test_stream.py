"""The stream trial: what a snapshot is, and what trains it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from raylot import results
from raylot.storage import Storage
from raylot.training import engines, stacked
from raylot.training.fast import inputs, kernels, waiting
from raylot.trials.artifacts import snapshot_path
from raylot.trials.state import tensors_from_bytes
from raylot.trials.stream import StreamTrial
from raylot.trials.tickets import TicketsTrial
from tests.unit.trials.runs import finish, trial_config


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
    left = ["latest", *(f"snapshot-{t}" for t in (0, 2, 3))]
    assert storage.names(f"artifacts/{run_id}") == [f"{name}.safetensors" for name in left]
    saved = tensors_from_bytes(storage.read(snapshot_path(run_id, 2)) or b"")
    assert all(torch.equal(saved[name], value) for name, value in before_task_2.items())

    finish(TicketsTrial(trial_config(tmp_path, task=2)))
    tasks = results.read(tmp_path, "tasks").set_index("task")
    (snapshot,) = results.read(tmp_path, "snapshots").to_dict("records")
    plasticity = results.read(tmp_path, "plasticity").query("task == 2").set_index("metric")
    for measure in ("test_accuracy", "online_accuracy", "learning_speed"):
        assert snapshot[measure] == tasks[measure][2] == plasticity["value"][measure]


# ------------------------------------------------------------------ engines


@pytest.mark.parametrize(
    ("options", "engine"),
    [
        ({}, "fast"),
        ({"engine": "fast"}, "fast"),
        ({"engine": "generic"}, "generic"),
        ({"engine": "stacked"}, "stacked"),
        ({"intervention": "redo", "redo_interval": 2}, "fast"),
        ({"intervention": "l2"}, "fast"),
        ({"intervention": "l2_init"}, "fast"),
        ({"intervention": "reset"}, "fast"),
        ({"intervention": "shrink_and_perturb"}, "fast"),
        (
            {"intervention": "shrink_and_perturb", "perturb_every": "step", "shrink": 0.999},
            "fast",
        ),
        ({"network": "lenet", "width": 1}, "generic"),
    ],
    ids=str,
)
def test_the_engine_that_trained_is_recorded(
    tmp_path: Path, options: dict[str, Any], engine: str
) -> None:
    finish(StreamTrial(trial_config(tmp_path, tasks=2, snapshots="0", **options)))
    (run,) = results.read(tmp_path, "runs").to_dict("records")
    assert run["status"] == "finished"
    assert run["engine_used"] == engine
    assert run["device_used"] == "cpu"


def test_a_run_notes_why_its_engine_was_not_the_faster_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU that has not passed the stacked engine's check."""
    reason = "the generic engine trained, as the stacked one was slower"
    monkeypatch.setattr(engines, "trains_together", lambda device, engine: True)
    monkeypatch.setattr(stacked, "why_untrusted", lambda jobs: reason)
    finish(StreamTrial(trial_config(tmp_path, tasks=2, snapshots="0")))
    (run,) = results.read(tmp_path, "runs").to_dict("records")
    assert run["notes"] == reason


def test_a_run_may_be_continued_by_another_engine(tmp_path: Path) -> None:
    begun = StreamTrial(trial_config(tmp_path, engine="generic"))
    begun.step()
    begun.step()
    continued = StreamTrial(trial_config(tmp_path, engine="fast"))
    assert continued.run.run_id == begun.run.run_id
    assert finish(continued)[0]["timesteps_total"] == 3
    (run,) = results.read(tmp_path, "runs").to_dict("records")
    assert run["engine_used"] == "fast,generic"
    assert run["run_id"] == begun.run.run_id
    assert results.read(tmp_path, "tasks")["task"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("carry", [True, False])
@pytest.mark.parametrize("share", [inputs.SPARSE_SHARE, 1.0], ids=["dense", "sparse"])
def test_a_fast_stream_interrupted_equals_an_uninterrupted_one_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, carry: bool
) -> None:
    """1,437 images are 360 batches of 4: 3 epochs end beyond the step where updates may wait.

    They wait where inputs count as sparse, which these do only if any share of nonzeros does.
    """
    begun_at: list[int] = []
    train_sparse = kernels.train_sparse

    def watched(*arguments: Any) -> Any:
        begun_at.append(arguments[10])
        return train_sparse(*arguments)

    monkeypatch.setattr(inputs, "SPARSE_SHARE", share)
    monkeypatch.setattr(kernels, "train_sparse", watched)
    options: dict[str, Any] = {
        "engine": "fast", "batch_size": 4, "epochs": 3, "carry_optimizer": carry,
        "lr": 0.001,
    }  # fmt: skip
    finish(StreamTrial(trial_config(tmp_path / "whole", **options)))
    if share == 1:
        per_task = 3 * 360 if carry else 0
        expected = [per_task * task + 360 * epoch for task in range(4) for epoch in range(3)]
        assert begun_at == expected
        assert expected[2] < waiting.PUT_OFF_FROM < expected[2] + 360
    else:
        assert not begun_at
    pieces = trial_config(tmp_path / "pieces", **options)
    steps = 0
    while not StreamTrial(pieces).step()["done"]:
        steps += 1
    assert steps == 3
    whole, other = (results.read(tmp_path / name, "tasks") for name in ("whole", "pieces"))
    for name in ("train_loss", "online_accuracy", "test_loss", "test_accuracy", "learning_speed"):
        assert whole[name].tolist() == other[name].tolist()
    run_id = StreamTrial(pieces).run.run_id
    for task in (0, 2, 3):
        path = snapshot_path(run_id, task)
        assert Storage(tmp_path / "whole").read(path) == Storage(tmp_path / "pieces").read(path)
