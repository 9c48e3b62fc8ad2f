"""Head resets between the tasks of a stream, and with them tickets and heads that grow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from raylot import results
from raylot.foundation.randomness import RandomKey
from raylot.storage import Storage
from raylot.trials.artifacts import snapshot_path
from raylot.trials.head import reset_head
from raylot.trials.state import tensors_from_bytes
from raylot.trials.stream import StreamTrial
from tests.unit.trials.runs import finish, run_all, trial_config


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


@pytest.mark.parametrize("how", ["fresh", "zero"])
def test_the_last_layer_alone_is_reset_but_for_pruned_weights(how: Any) -> None:
    own, key = network(), RandomKey((0,))
    before = {name: tensor.clone() for name, tensor in own.state_dict().items()}
    mask = torch.tensor([[True, False, True, True], [False, True, True, True]])
    reset_head(own, how, key, {"2.weight": mask})
    after = own.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in ("0.weight", "0.bias"))
    assert torch.equal(after["2.weight"][~mask], before["2.weight"][~mask])
    for now, was in ((after["2.weight"][mask], before["2.weight"][mask]),
                     (after["2.bias"], before["2.bias"])):  # fmt: skip
        assert bool((now == 0).all()) is (how == "zero")
        assert not bool((now == was).any())
    again = network()
    again.load_state_dict(before)
    reset_head(again, how, key, None)
    assert torch.equal(again.state_dict()["2.weight"][mask], after["2.weight"][mask])


def snapshots(root: Path, **options: Any) -> list[dict[str, torch.Tensor]]:
    """The states of a stream before its tasks 0, 2 and 3."""
    config = trial_config(root, **options)
    finish(StreamTrial(config))
    (run_id,) = results.read(root, "runs")["run_id"]
    paths = [snapshot_path(run_id, task) for task in (0, 2, 3)]
    return [tensors_from_bytes(Storage(root).read(path) or b"") for path in paths]


def test_snapshots_hold_the_head_that_the_task_begins_with(tmp_path: Path) -> None:
    states = snapshots(tmp_path, head_reset="zero")
    assert [bool(state["output.weight"].any()) for state in states] == [True, False, False]
    assert all(bool(state["hidden1.weight"].any()) for state in states)


@pytest.mark.parametrize("shift", ["class_incremental", "warm_start", "label_noise"])
def test_streams_of_classification_run_from_end_to_end(tmp_path: Path, shift: str) -> None:
    run_all(tmp_path, "ticket", shift=shift, head_reset="fresh", sharpness_iterations=2,
            train_examples=500, batch_size=128)  # fmt: skip
    runs = results.read(tmp_path, "runs")
    assert set(runs["status"]) == {"finished"}
    tasks = results.read(tmp_path, "tasks")
    assert tasks["test_accuracy"].between(0, 1).all()
    assert results.read(tmp_path, "snapshots")["ticket_accuracy"].between(0, 1).all()
