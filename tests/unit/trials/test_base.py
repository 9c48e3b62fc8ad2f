"""What all trials share: resuming, however they ended, and recording what they did once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from ray._raylet import raise_sys_exit_with_custom_error_message

from raylot import plugins, results
from raylot.results.integrity import ended_runs
from raylot.storage import OutOfReachError, Storage
from raylot.trials.kinds import TRIALS
from raylot.trials.stream import StreamTrial
from raylot.trials.tickets import TicketsTrial
from raylot.trials.trainable import AnyTrial
from tests.support.tables import assert_same_tables
from tests.unit.trials.runs import chain, finish, run_all, trial_config


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with an undisturbed stream, its tickets and what was measured; to be read only."""
    root = tmp_path_factory.mktemp("whole")
    run_all(root)
    return root


_EVERY_SUBNETWORK = ("ticket", "dense", "random", "reinit")


@pytest.mark.parametrize(
    ("subnetworks", "options"),
    [
        pytest.param(
            _EVERY_SUBNETWORK,
            {"carry_optimizer": True, "rewired_masks": 1, "reinit_tickets": 1, "hidden": "6,5",
             "output_rate": 0.5, "ntk_examples": 4, "sharpness_iterations": 2,
             "probe_tasks": 2},
            id="every control",
        ),
        pytest.param(
            ("ticket",),
            {"masked": "freeze", "scope": "global", "criterion": "movement", "rewind_steps": 3,
             "plastic_task": "unshifted", "plastic_scaling": "standardize",
             "plastic_density": "overall", "intervention": "l2_init", "gradual": 0.5},
            id="l2_init",
        ),
        pytest.param(
            ("ticket", "dense"),
            {"masked": "freeze", "carry_optimizer": True, "intervention": "redo",
             "redo_interval": 2, "redo_threshold": 0.5, "random_density": 0.3},
            id="redo",
        ),
        pytest.param(
            ("ticket",), {"intervention": "reset", "criterion": "random", "gradual": 1.0},
            id="reset",
        ),
        pytest.param(
            ("ticket",),
            {"optimizer": "rmsprop", "momentum": 0.9, "schedule": "cosine", "warmup": 0.2,
             "label_smoothing": 0.1, "clip_norm": 0.5, "augment": "flip_crop", "crop_padding": 2,
             "precision": "bfloat16", "carry_optimizer": True, "masked": "freeze"},
            id="more of training",
        ),
        pytest.param(
            ("ticket",),
            {"intervention": "shrink_and_perturb", "perturb_every": "step", "shrink": 0.999,
             "carry_optimizer": True, "shift": "random_labels", "period": 2},
            id="shrink_and_perturb",
        ),
    ],
)  # fmt: skip
def test_a_run_interrupted_after_every_step_equals_an_uninterrupted_one(
    tmp_path: Path, subnetworks: tuple[str, ...], options: dict[str, Any]
) -> None:
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    run_all(whole, *subnetworks, pairs=True, save_interval=1000, **options)
    run_all(pieces, *subnetworks, pairs=True, interrupt=True, **options)
    statuses = results.read(whole, "runs")["status"]
    assert statuses.tolist() == ["finished"] * (2 + 1 + 3 + 2 + (1 + 3) * len(subnetworks))
    assert_same_tables(whole, pieces, pairs=True)
    artifacts = [path.relative_to(whole) for path in (whole / "artifacts").rglob("*.safetensors")]
    # of streams: snapshots and the latest state; of the search: masks of 2 tickets and gradients
    assert len(artifacts) == (3 + 1) + (2 + 1) + len(subnetworks) * (1 + 1)
    for path in artifacts:
        assert (whole / path).read_bytes() == (pieces / path).read_bytes()
    # what a finished run has done is what was planned
    runs = results.read(whole, "runs").set_index("run_id")
    for kind, extra in chain(*subnetworks, pairs=True):
        run = kind(trial_config(whole, **options, **extra)).run
        assert runs["training_steps"][run.run_id] == run.training_steps


_REMEMBERING = """
import torch
from torch import nn
from raylot import plugins

class Remembering(nn.Module):
    \"\"\"Computes by what it has seen, and by a tensor that it keeps from its first pass.\"\"\"

    def __init__(self, hidden, classes):
        super().__init__()
        self.hidden, self.act = nn.Linear(64, hidden), nn.ReLU()
        self.output = nn.Linear(hidden, classes)
        self.register_buffer("seen", torch.zeros(()), persistent=False)
        self.passes, self.cached = 0, None

    def forward(self, inputs):
        inputs = inputs.flatten(1)
        if self.cached is None:
            self.cached = inputs.mean().detach()
        self.passes += 1
        if self.training:
            self.seen = self.seen + inputs.detach().mean()
        outputs = self.output(self.act(self.hidden(inputs / self.cached)))
        return outputs * (1 + self.passes % 7 + torch.sin(self.seen))

@plugins.network("remembering")
def remembering(input_shape, options, classes):
    return Remembering(options.hidden[0], classes)
"""


@pytest.fixture
def remembering(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The options of a network with a state that its state dict does not hold."""
    file = tmp_path / "remembering.py"
    file.write_text(_REMEMBERING)
    plugins.load(file)
    yield {"network": "remembering", "lr": 0.001}
    plugins.forget()


@pytest.mark.parametrize("rewind_steps", [0, 3])
def test_an_interrupted_run_forgets_no_more_than_an_uninterrupted_one(
    tmp_path: Path, remembering: dict[str, Any], rewind_steps: int
) -> None:
    """Only the state dict goes from task to task and from ticket to ticket."""
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    options = {**remembering, "rewind_steps": rewind_steps, "reinit_tickets": 1}
    run_all(whole, *_EVERY_SUBNETWORK, save_interval=1000, **options)
    run_all(pieces, *_EVERY_SUBNETWORK, interrupt=True, **options)
    assert set(results.read(whole, "runs")["status"]) == {"finished"}
    assert_same_tables(whole, pieces)


def test_measuring_a_network_does_not_change_its_stream(
    tmp_path: Path, remembering: dict[str, Any]
) -> None:
    for folder, snapshots in (("some", "0"), ("all", "0-3")):
        finish(StreamTrial(trial_config(tmp_path / folder, snapshots=snapshots, **remembering)))
    some, every = (results.read(tmp_path / name, "tasks") for name in ("some", "all"))
    assert some["train_loss"].tolist() == every["train_loss"].tolist()


def test_a_smaller_last_batch_is_left_out_everywhere(tmp_path: Path) -> None:
    """1,437 digits are 4 batches of 359, and one, on which batch norm cannot be trained."""
    file = tmp_path / "normalised.py"
    file.write_text(
        "from torch import nn\nfrom raylot import plugins\n\n"
        "@plugins.network('normalised')\ndef normalised(input_shape, options, classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.BatchNorm1d(6), nn.ReLU(),\n"
        "                         nn.Linear(6, classes))\n"
    )
    plugins.load(file)
    try:
        run_all(
            tmp_path, "ticket", network="normalised", batch_size=359, drop_last=True,
        )  # fmt: skip
    finally:
        plugins.forget()
    runs = results.read(tmp_path, "runs").set_index("kind")
    assert set(runs["status"]) == {"finished"}
    # 4 tasks; 3 networks on a probe task; 2 tickets in 3 rounds, an
    # untrained mask and 2 random masks; 3 tasks
    assert runs.loc[runs["training_steps"] > 0, "training_steps"].to_dict() == {
        "stream": 4 * 4, "probes": 4 * 3, "tickets": 4 * 9, "ticket_stream": 4 * 3,
    }  # fmt: skip


def test_steps_after_the_last_save_are_done_again_and_not_twice_recorded(
    tmp_path: Path, whole: Path
) -> None:
    config = trial_config(tmp_path / "lost")
    trial = StreamTrial(config)
    trial.step()
    trial._save_interval = 1000.0
    trial.step()
    trial.step()  # lost
    assert finish(StreamTrial(config))[0]["timesteps_total"] == 2
    run_all(tmp_path / "lost")
    assert_same_tables(whole, tmp_path / "lost")


def test_a_reused_actor_carries_nothing_over(tmp_path: Path) -> None:
    """For another run it is as if new, whatever it did before and however far it was."""
    other = {"seed": 3, "shift": "permuted_labels", "hidden": "9", "lr": 0.1, "masked": "freeze"}
    run_all(tmp_path / "new", "ticket")
    for kind, extra in chain("ticket"):
        named = {"kind": kind.run_model.kind}
        config = {**trial_config(tmp_path / "other", **other, **extra), **named}
        with_parameters = {"trials": TRIALS, "shared_data": None, "plugin_texts": ()}
        actor = AnyTrial.__new__(AnyTrial)
        actor.setup(config, **with_parameters)
        actor.step()
        assert actor.reset_config({**trial_config(tmp_path / "reused", **extra), **named})
        finish(actor)
        finish(kind(trial_config(tmp_path / "other", **other, **extra)))
    assert_same_tables(tmp_path / "new", tmp_path / "reused")


def test_a_slow_attempt_cannot_undo_what_another_has_finished(tmp_path: Path, whole: Path) -> None:
    """As when the same command was started twice, or a node that was thought lost comes back."""
    slow = StreamTrial(trial_config(tmp_path / "twice"))
    slow.step()
    finish(StreamTrial(trial_config(tmp_path / "twice")))
    assert slow.step()["done"], "it saves nothing now"
    assert len(results.read(tmp_path / "twice", "tasks")) == 4
    run_all(tmp_path / "twice")
    assert_same_tables(whole, tmp_path / "twice")
    assert not list((tmp_path / "twice" / "state").rglob("*.safetensors"))


class _Own(BaseException):
    """A plugin's own, without words."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        (_Own(), "_Own: (its text cannot be had: RuntimeError)"),
        (type("Odd\x07", (Exception,), {})("\x9b31m"), r"Odd\x07: \x9b31m"),
        (ValueError("two\nlines \x1b[31m of s3://me:word@bucket"),
         r"ValueError: two lines \x1b[31m of s3://***@bucket"),
        (SyntaxError("odd", ("f", 1, 1, 3)), "SyntaxError: odd (f, line 1)"),
    ],
)  # fmt: skip
def test_whatever_a_plugin_raises_is_recorded_in_one_line_and_the_worker_goes_on(
    raised: BaseException, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def failing(self: StreamTrial) -> dict[str, float]:
        raise raised

    with monkeypatch.context() as patched:
        patched.setattr(StreamTrial, "advance", failing)
        trial = StreamTrial(trial_config(tmp_path))
        assert trial.step()["failed"]
    (row,) = results.read(tmp_path, "runs").to_dict("records")
    assert row["status"] == "failed"
    assert row["error"].startswith(f"{reason} (at test_base.py:")
    logged = capsys.readouterr()
    assert f" ends: {row['error']}\n" in logged.out
    assert "raise raised" in logged.err  # with its traceback
    assert "word@" not in logged.err
    finish(StreamTrial(trial_config(tmp_path, seed=7)))
    assert set(results.read(tmp_path, "runs")["status"]) == {"failed", "finished"}


def test_a_worker_that_is_told_to_end_records_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray's workers turn SIGTERM into SystemExit, wherever they are just then."""

    def ended(self: StreamTrial) -> dict[str, float]:
        raise_sys_exit_with_custom_error_message("The process receives a SIGTERM.", exit_code=1)

    with monkeypatch.context() as patched:
        patched.setattr(StreamTrial, "advance", ended)
        trial = StreamTrial(trial_config(tmp_path))
        with pytest.raises(SystemExit):
            trial.step()
    assert results.read(Storage(tmp_path), "runs").empty
    finish(StreamTrial(trial_config(tmp_path)))
    assert results.read(tmp_path, "runs")["status"].tolist() == ["finished"]


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("sys.exit('enough')", "enough"),
        ("exit(3)", "3"),
        ("ArgumentParser().parse_args(['x'])", "2"),
    ],
)
def test_a_plugin_that_exits_fails_its_run(tmp_path: Path, call: str, reason: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import sys\nfrom argparse import ArgumentParser\nfrom raylot import plugins\n"
        "@plugins.shift('mine')\ndef mine(dataset, options, key, t):\n"
        f"    {call}\n"
    )
    plugins.load(file)
    try:
        trial = StreamTrial(trial_config(tmp_path / "storage", shift="mine"))
        assert trial.step()["failed"]
    finally:
        plugins.forget()
    (row,) = results.read(tmp_path / "storage", "runs").to_dict("records")
    assert row["error"] == f"SystemExit: {reason} (at mine.py:6)"


def test_a_worker_logs_which_runs_it_starts_and_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = StreamTrial(trial_config(tmp_path, seed=3))
    trial.step()
    trial.step()
    finish(StreamTrial(trial_config(tmp_path, seed=3)))  # as if the worker had been lost
    run = f"stream seed=3 permuted_pixels ({trial.run.run_id})"
    logged = capsys.readouterr().out.splitlines()
    assert [line.partition("+00:00 ")[2] for line in logged] == [
        f"{run} starts at step 1 of 4", f"{run} starts at step 3 of 4", f"{run} ends",
    ]  # fmt: skip


def test_an_error_of_the_users_own_files_is_recorded_and_one_of_the_storage_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The storage may come back: then the run goes on."""

    def failing(trial: StreamTrial) -> dict[str, float]:
        raise error

    monkeypatch.setattr(StreamTrial, "advance", failing)
    error: OSError = OutOfReachError("no route")
    with pytest.raises(OutOfReachError):
        StreamTrial(trial_config(tmp_path)).step()
    assert len(results.read(Storage(tmp_path), "runs")) == 0
    error = PermissionError("not yours")
    finish(StreamTrial(trial_config(tmp_path)))
    assert "PermissionError: not yours" in results.read(tmp_path, "runs")["error"].item()


def test_whoever_is_no_longer_in_charge_writes_nothing(tmp_path: Path) -> None:
    """As when a driver stood still so long that another one took over."""
    Storage(tmp_path).write("drivers/own.json", b"{}")
    trial = StreamTrial({**trial_config(tmp_path), "lease": "drivers/own.json"})
    trial.step()
    rows = results.read(tmp_path, "tasks")
    Storage(tmp_path).delete_file("drivers/own.json")
    assert trial.step()["done"]
    assert results.read(tmp_path, "tasks").equals(rows)
    assert not results.finished_runs(Storage(tmp_path))
    assert StreamTrial({**trial_config(tmp_path), "lease": "drivers/own.json"}).step()["done"]


def test_what_was_done_from_other_inputs_is_forgotten(tmp_path: Path) -> None:
    """A stream computed again on another device may leave another snapshot."""
    stream = StreamTrial(trial_config(tmp_path))
    finish(stream)
    config = trial_config(tmp_path, task=2)
    trial = TicketsTrial(config)
    trial.step()
    results.forget_runs(Storage(tmp_path), {stream.run.run_id})
    other = StreamTrial(trial_config(tmp_path))
    while not other.step()["done"]:
        for parameter in other._network.parameters():
            parameter.data += 0.1
    again = TicketsTrial(config)
    assert again.state.steps == 1
    again.step()
    assert again.state.steps == 1, "dense training is done again"
    assert len(again.state.rows["tickets"]) == len(trial.state.rows["tickets"])
    assert again.state.inputs != trial.state.inputs


def test_rows_of_an_attempt_that_was_forgotten_do_not_outlive_the_run(tmp_path: Path) -> None:
    """An attempt wrote a table that this one does not, as it diverges earlier, for instance."""
    trial = StreamTrial(trial_config(tmp_path))
    run_id = trial.run.run_id
    results.write(Storage(tmp_path), "plasticity", run_id, [{"run_id": run_id, "task": 99}])
    finish(trial)
    assert 99 not in results.read(tmp_path, "plasticity")["task"].tolist()
    assert len(results.read(tmp_path, "tasks")) == 4


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_an_ended_run_tells_the_digest_of_every_file_that_it_wrote(tmp_path: Path) -> None:
    run_all(tmp_path, "ticket")
    for run_id, ended in ended_runs(Storage(tmp_path)).items():
        written = {
            path.parent.name: (pq.read_metadata(path).num_rows, _sha256(path))
            for path in (tmp_path / "tables").glob(f"*/{run_id}.parquet")
            if path.parent.name != "runs"
        }
        assert ended.tables == written
        artifacts = (tmp_path / "artifacts" / run_id).glob("*")
        assert set(ended.artifacts) == {str(path.relative_to(tmp_path)) for path in artifacts}
        assert written


def test_a_retry_continues_where_the_error_was(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = StreamTrial.advance

    def failing(trial: StreamTrial) -> dict[str, float]:
        if trial.state.steps == 2:
            raise RuntimeError("out of memory")
        return measure(trial)

    with monkeypatch.context() as patched:
        patched.setattr(StreamTrial, "advance", failing)
        finish(StreamTrial(trial_config(tmp_path / "retried")))
    (run,) = results.read(tmp_path / "retried", "runs").to_dict("records")
    assert run["status"] == "failed"
    assert "RuntimeError: out of memory" in run["error"]
    # Tune may give a trial whose process an error ended to another one: that leaves all in place.
    (other,) = finish(StreamTrial(trial_config(tmp_path / "retried")))
    assert other["failed"]
    results.forget_runs(Storage(tmp_path / "retried"), {run["run_id"]})
    assert finish(StreamTrial(trial_config(tmp_path / "retried")))[0]["timesteps_total"] == 3
    run_all(tmp_path / "retried")
    assert_same_tables(whole, tmp_path / "retried")
