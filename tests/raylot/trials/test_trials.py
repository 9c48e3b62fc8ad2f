"""The trainables, driven step by step without a cluster: resuming, recording, snapshots."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from raylot import results
from raylot.config import Study
from raylot.storage import Storage
from raylot.trials.base import RunTrainable
from raylot.trials.state import tensors_from_bytes
from raylot.trials.stream import StreamTrial, snapshot_path, snapshot_tasks
from raylot.trials.tickets import TicketsTrial, masks_path
from tests.raylot.tables import assert_same_tables

_TINY = {
    "hidden": "6", "tasks": 4, "snapshots": "0,2,3", "epochs": 1, "batch_size": 256,
    "lr": 0.01, "tickets": 2, "rounds": 2, "probe_size": 20,
}  # fmt: skip


def _config(root: Path, save_interval: float = 0.0, **options: Any) -> dict[str, Any]:
    """The configuration of a stream's or, given a task, a tickets' trial."""
    searched = {k: options.pop(k) for k in ("seed", "shift", "task", "sparsity") if k in options}
    study = Study.checked(**{**_TINY, **options})
    if "task" in searched:
        searched.setdefault("sparsity", 0.5)
        run = study.tickets_run(**searched)
    else:
        run = study.stream_run(**searched)
    return {
        "storage": str(root),
        "save_interval": save_interval,
        "shared": run.model_dump(mode="json"),
        "run": {},
    }


def _finish(trial: RunTrainable) -> list[dict[str, Any]]:
    reports = [trial.step()]
    while not reports[-1]["done"]:
        reports.append(trial.step())
    return reports


def _all_runs(root: Path, *, interrupt: bool, save_interval: float = 0.0, **options: Any) -> None:
    """A stream and the tickets of one of its snapshots; interrupted, in a new trial per step."""
    for kind, extra in ((StreamTrial, {}), (TicketsTrial, {"task": 2})):
        config = _config(root, save_interval, **options, **extra)
        if not interrupt:
            _finish(kind(config))
            continue
        while not kind(config).step()["done"]:
            pass


@pytest.mark.parametrize("carry_optimizer", [False, True])
@pytest.mark.parametrize("masked", ["zero", "freeze"])
def test_a_run_interrupted_after_every_step_equals_an_uninterrupted_one(
    tmp_path: Path, carry_optimizer: bool, masked: str
) -> None:
    options = {"carry_optimizer": carry_optimizer, "masked": masked}
    _all_runs(tmp_path / "whole", interrupt=False, save_interval=1000, **options)
    _all_runs(tmp_path / "pieces", interrupt=True, **options)
    assert_same_tables(tmp_path / "whole", tmp_path / "pieces")
    for path in (tmp_path / "whole" / "artifacts").rglob("*.safetensors"):
        twin = tmp_path / "pieces" / path.relative_to(tmp_path / "whole")
        assert path.read_bytes() == twin.read_bytes()


def test_steps_after_the_last_save_are_done_again_and_not_twice_recorded(tmp_path: Path) -> None:
    _all_runs(tmp_path / "whole", interrupt=False)
    config = _config(tmp_path / "lost")
    trial = StreamTrial(config)
    trial.step()
    trial._save_interval = 1000.0
    trial.step()
    trial.step()  # lost
    assert _finish(StreamTrial(config))[0]["task"] == 1
    _finish(TicketsTrial(_config(tmp_path / "lost", task=2)))
    assert_same_tables(tmp_path / "whole", tmp_path / "lost")


def test_a_reused_actor_carries_nothing_over(tmp_path: Path) -> None:
    """After `reset_config` a trial is as if new, whatever it did before and however far it was."""
    other = {"seed": 3, "shift": "permuted_labels", "hidden": "9", "lr": 0.1}
    _finish(StreamTrial(_config(tmp_path / "new")))
    _finish(TicketsTrial(_config(tmp_path / "new", task=2)))

    stream = StreamTrial(_config(tmp_path / "other", **other))
    stream.step()
    assert stream.reset_config(_config(tmp_path / "reused"))
    _finish(stream)
    _finish(StreamTrial(_config(tmp_path / "other", **other)))
    tickets = TicketsTrial(_config(tmp_path / "other", task=3, **other))
    tickets.step()
    assert tickets.reset_config(_config(tmp_path / "reused", task=2))
    _finish(tickets)
    assert_same_tables(tmp_path / "new", tmp_path / "reused")


def test_tunes_own_checkpoints_continue_a_run_too(tmp_path: Path) -> None:
    _all_runs(tmp_path / "whole", interrupt=False)
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    config = _config(tmp_path / "continued", save_interval=1000)
    first = StreamTrial(config)
    first.step()
    first.step()
    first.save_checkpoint(str(checkpoint))
    second = StreamTrial(config)
    second.load_checkpoint(str(checkpoint))
    assert _finish(second)[0]["task"] == 2
    _finish(TicketsTrial(_config(tmp_path / "continued", task=2)))
    assert_same_tables(tmp_path / "whole", tmp_path / "continued")


def test_a_snapshot_is_the_state_before_its_task_and_is_paired_with_that_task(
    tmp_path: Path,
) -> None:
    config = _config(tmp_path)
    storage = Storage(tmp_path)
    trial = StreamTrial(config)
    run_id = trial.run.run_id
    trial.step()
    trial.step()
    before_task_2 = {name: t.clone() for name, t in trial._network.state_dict().items()}
    _finish(trial)
    assert snapshot_tasks(storage, run_id) == [0, 2, 3]
    saved = tensors_from_bytes(storage.read(snapshot_path(run_id, 2)) or b"")
    assert all(torch.equal(saved[name], value) for name, value in before_task_2.items())

    _finish(TicketsTrial(_config(tmp_path, task=2)))
    tasks = results.read(tmp_path, "tasks").set_index("task")
    (snapshot,) = results.read(tmp_path, "snapshots").to_dict("records")
    for measure in ("test_accuracy", "online_accuracy", "learning_speed"):
        assert snapshot[measure] == tasks[measure][2]
    plasticity = results.read(tmp_path, "plasticity")
    gap = plasticity[(plasticity["task"] == 2) & (plasticity["metric"] == "trainability_gap")]
    assert snapshot["trainability_gap"] == gap["value"].item()


def test_tables_of_a_finished_run(tmp_path: Path) -> None:
    _all_runs(tmp_path, interrupt=False)
    assert not list((tmp_path / "state").rglob("*.safetensors"))
    runs = results.read(tmp_path, "runs").set_index("kind")
    assert set(runs["status"]) == {"finished"}
    assert runs["stream_run_id"].nunique() == 1
    assert runs["stream_run_id"]["stream"] == runs["run_id"]["stream"]
    # 1437 examples in batches of 256: 6 steps per epoch; 4 tasks and 3 fresh networks;
    # 2 tickets in 3 rounds and 2 random masks
    assert runs["training_steps"].to_dict() == {"stream": 42, "tickets": 48}
    assert results.read(tmp_path, "tasks")["task"].tolist() == [0, 1, 2, 3]
    tickets = results.read(tmp_path, "tickets")
    assert tickets["control"].tolist() == ["dense"] * 2 + ["none"] * 4 + ["random"] * 2
    assert tickets["wins"].notna().tolist() == [False] * 4 + [True] * 2 + [False] * 2
    overlaps = results.read(tmp_path, "overlaps")
    assert overlaps["layer"].tolist() == ["all", "hidden1.weight", "output.weight"]
    (snapshot,) = results.read(tmp_path, "snapshots").to_dict("records")
    assert snapshot["overlap_mean"] == overlaps["jaccard"][0]
    assert 1 <= snapshot["ticket_count"] <= 2
    masks = tensors_from_bytes(Storage(tmp_path).read(masks_path(runs["run_id"]["tickets"])) or b"")
    # 64 x 6 and 6 x 10 weights, half of them kept
    assert int(masks["0/hidden1.weight"].sum()) == 192
    assert int(masks["1/output.weight"].sum()) == 30


def test_a_finished_run_is_not_computed_again(tmp_path: Path) -> None:
    _finish(StreamTrial(_config(tmp_path)))
    before = results.read(tmp_path, "runs")["seconds"].item()
    report = StreamTrial(_config(tmp_path)).step()
    assert report["done"]
    assert report["new_training_steps"] == 0
    assert results.read(tmp_path, "runs")["seconds"].item() == before


def test_divergence_is_data(tmp_path: Path) -> None:
    options = {"optimizer": "sgd", "lr": 100.0, "weight_decay": 100.0}
    _finish(StreamTrial(_config(tmp_path, **options)))
    (run,) = results.read(tmp_path, "runs").to_dict("records")
    assert run["status"] == "diverged"
    tasks = results.read(tmp_path, "tasks")
    assert len(tasks) <= 2
    assert math.isnan(tasks["test_accuracy"].iloc[-1])
    diverging = _config(tmp_path, task=0, **options)
    _finish(TicketsTrial(diverging))
    runs = results.read(tmp_path, "runs").set_index("kind")
    assert runs["status"]["tickets"] == "diverged"
    assert math.isnan(results.read(tmp_path, "tickets")["test_accuracy"].iloc[-1])


def test_an_error_is_recorded_with_its_reason(tmp_path: Path) -> None:
    """Without its stream a ticket search has no snapshot."""
    (report,) = _finish(TicketsTrial(_config(tmp_path, task=2)))
    assert report["done"]
    (run,) = results.read(tmp_path, "runs").to_dict("records")
    assert run["status"] == "failed"
    assert "snapshot-2.safetensors: the stream has left no snapshot here" in run["error"]
    assert "\n" not in run["error"]


def test_a_damaged_snapshot_is_an_error_not_data(tmp_path: Path) -> None:
    trial = StreamTrial(_config(tmp_path))
    _finish(trial)
    Storage(tmp_path).write(snapshot_path(trial.run.run_id, 2), b"damaged")
    _finish(TicketsTrial(_config(tmp_path, task=2)))
    runs = results.read(tmp_path, "runs").set_index("kind")
    assert runs["status"]["tickets"] == "failed"
    assert "not a safetensors file" in runs["error"]["tickets"]


def test_the_trainability_gap_compares_with_a_fresh_network_and_can_be_left_out(
    tmp_path: Path,
) -> None:
    _finish(StreamTrial(_config(tmp_path / "with")))
    _finish(StreamTrial(_config(tmp_path / "without", trainability_gap=False)))
    with_gap = results.read(tmp_path / "with", "plasticity")
    without = results.read(tmp_path / "without", "plasticity")
    assert set(with_gap["metric"]) - set(without["metric"]) == {"trainability_gap"}
    # it must not change the stream itself
    one, other = (results.read(tmp_path / name, "tasks") for name in ("with", "without"))
    assert one["test_accuracy"].tolist() == other["test_accuracy"].tolist()


def test_tickets_at_all_sparsities_share_their_dense_control(tmp_path: Path) -> None:
    _finish(StreamTrial(_config(tmp_path)))
    for sparsity in (0.5, 0.9):
        _finish(TicketsTrial(_config(tmp_path, task=2, sparsity=sparsity)))
    tickets = results.read(tmp_path, "tickets").query("control == 'dense'")
    by_ticket = tickets.groupby("ticket")["test_accuracy"].nunique()
    assert by_ticket.tolist() == [1, 1]


def test_a_slow_attempt_cannot_undo_what_another_has_finished(tmp_path: Path) -> None:
    """As when the same command was started twice, or a node that was thought lost comes back."""
    _all_runs(tmp_path / "whole", interrupt=False)
    slow = StreamTrial(_config(tmp_path / "twice"))
    slow.step()
    _finish(StreamTrial(_config(tmp_path / "twice")))
    slow.step()  # saves nothing now
    assert len(results.read(tmp_path / "twice", "tasks")) == 4
    _finish(slow)
    _finish(TicketsTrial(_config(tmp_path / "twice", task=2)))
    assert_same_tables(tmp_path / "whole", tmp_path / "twice")
    assert not list((tmp_path / "twice" / "state").rglob("*.safetensors"))


def test_a_damaged_state_is_computed_again(tmp_path: Path) -> None:
    _all_runs(tmp_path / "whole", interrupt=False)
    trial = StreamTrial(_config(tmp_path / "damaged"))
    trial.step()
    (state,) = (tmp_path / "damaged" / "state").rglob("*.safetensors")
    state.write_bytes(state.read_bytes()[:-3])
    _all_runs(tmp_path / "damaged", interrupt=False)
    assert_same_tables(tmp_path / "whole", tmp_path / "damaged")


def test_a_diverging_fresh_network_leaves_its_stream_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = StreamTrial._fresh_network

    def broken(trial: StreamTrial, *purpose: str | int) -> torch.nn.Module:
        network = build(trial, *purpose)
        if purpose[0] == "fresh network":
            torch.nn.init.constant_(next(network.parameters()), math.inf)
        return network

    monkeypatch.setattr(StreamTrial, "_fresh_network", broken)
    _finish(StreamTrial(_config(tmp_path)))
    (run,) = results.read(tmp_path, "runs").to_dict("records")
    assert run["status"] == "finished"
    assert results.read(tmp_path, "tasks")["test_accuracy"].notna().all()
    gaps = results.read(tmp_path, "plasticity").query("metric == 'trainability_gap'")
    assert gaps["value"].isna().tolist() == [True] * 3


def test_a_retry_continues_where_the_error_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _all_runs(tmp_path / "whole", interrupt=False)
    measure = StreamTrial.advance

    def failing(trial: StreamTrial) -> dict[str, float]:
        if trial.state.steps == 2:
            raise RuntimeError("out of memory")
        return measure(trial)

    with monkeypatch.context() as patched:
        patched.setattr(StreamTrial, "advance", failing)
        _finish(StreamTrial(_config(tmp_path / "retried")))
    (run,) = results.read(tmp_path / "retried", "runs").to_dict("records")
    assert run["status"] == "failed"
    assert "RuntimeError: out of memory" in run["error"]
    results.forget_run(Storage(tmp_path / "retried"), run["run_id"])
    assert _finish(StreamTrial(_config(tmp_path / "retried")))[0]["task"] == 2
    _finish(TicketsTrial(_config(tmp_path / "retried", task=2)))
    assert_same_tables(tmp_path / "whole", tmp_path / "retried")
