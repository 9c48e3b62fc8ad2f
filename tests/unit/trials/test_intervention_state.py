"""Streams whose intervention remembers something from task to task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from raylot import interventions, plugins, results
from raylot.foundation.errors import OptionError
from raylot.results.compaction import drop_latest
from raylot.results.integrity import inspect
from raylot.results.manifest import latest_path
from raylot.storage import Storage
from raylot.trials.artifacts import intervention_path, snapshot_path
from raylot.trials.probes import ProbeTrial
from raylot.trials.state import tensors_from_bytes
from raylot.trials.stream import StreamTrial
from raylot.trials.ticket_stream import TicketStreamTrial
from raylot.trials.tickets import TicketsTrial
from tests.support.oldest import OLDEST, load
from tests.support.tables import read_sorted
from tests.unit.trials.runs import finish, run_all, trial_config


@pytest.fixture(autouse=True)
def _oldest(tmp_path: Path) -> Iterator[None]:
    plugins.forget()
    load(tmp_path)
    yield
    plugins.forget()


def stream(root: Path, **options: Any) -> StreamTrial:
    return StreamTrial(trial_config(root, **{"intervention": "oldest", **options}))


def state_of(root: Path, path: str) -> dict[str, Any]:
    """What a file says that the intervention remembers."""
    found = tensors_from_bytes(Storage(root).read(path) or b"")
    kept = [name for name in found if name.startswith(("intervention/", "tensor/", "number/"))]
    return {name.rpartition("/")[2]: found[name].tolist() for name in kept}


def assert_same(one: Path, other: Path) -> None:
    """All tables are equal, cell by cell, with the fingerprints of all files that runs left."""
    for table in ("runs", "tasks", "probes", "tickets", "snapshots"):
        expected = read_sorted(one, table)
        assert expected.equals(read_sorted(other, table)), table
    files = [path.relative_to(one) for path in one.glob("artifacts/*/*")]
    assert {file.name.partition("-")[0] for file in files} >= {"snapshot", "intervention"}
    for file in files:
        assert (one / file).read_bytes() == (other / file).read_bytes(), file


# ------------------------------------------------------------------ what is remembered


def test_ages_go_from_task_to_task(tmp_path: Path) -> None:
    """Units 0 to 5 are redrawn at steps 4, 8, 12, 16, 20 and 24; every task has 6 steps."""
    trial = stream(tmp_path)
    finish(trial)
    run_id = trial.run.run_id
    assert state_of(tmp_path, latest_path(run_id)) == {
        "ages": [20, 16, 12, 8, 4, 0], "steps": 24, "share": 8.0,
    }  # fmt: skip
    assert state_of(tmp_path, intervention_path(run_id, 2)) == {
        "ages": [8, 4, 0, 12, 12, 12], "steps": 12, "share": 4.0,
    }  # fmt: skip
    left = ["intervention-2", "intervention-3", "latest", *(f"snapshot-{t}" for t in (0, 2, 3))]
    assert Storage(tmp_path).names(f"artifacts/{run_id}") == [f"{n}.safetensors" for n in left]
    assert not inspect(Storage(tmp_path), artifacts=True).damages


def test_the_state_decides_what_is_trained(tmp_path: Path) -> None:
    forgetful = OLDEST.replace("def state_dict", "def _state").replace("def load_", "def _load_")
    finish(stream(tmp_path / "remembers"))
    load(tmp_path, forgetful)
    finish(stream(tmp_path / "forgets"))
    one, other = (results.read(tmp_path / n, "tasks") for n in ("remembers", "forgets"))
    assert one["train_loss"][0] == other["train_loss"][0]
    assert one["train_loss"][1] != other["train_loss"][1]


@pytest.mark.parametrize("intervention", ["none", "shrink_and_perturb"])
def test_a_method_without_state_leaves_no_file(tmp_path: Path, intervention: str) -> None:
    trial = stream(tmp_path, intervention=intervention)
    finish(trial)
    names = Storage(tmp_path).names(f"artifacts/{trial.run.run_id}")
    assert names == ["latest.safetensors", *(f"snapshot-{t}.safetensors" for t in (0, 2, 3))]
    latest = tensors_from_bytes(Storage(tmp_path).read(latest_path(trial.run.run_id)) or b"")
    assert all(name.startswith("network/") for name in latest)


# ------------------------------------------------------------------ interrupted and grown


@pytest.mark.parametrize(
    "options",
    [
        {"intervention": "oldest"},
        {"intervention": "oldest", "carry_optimizer": True},
        {"intervention": "plasticity_injection", "inject_after": 2},
    ],
    ids=["oldest", "carried", "injected"],
)
def test_an_interrupted_stream_equals_an_uninterrupted_one(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    run_all(tmp_path / "whole", "ticket", **options)
    run_all(tmp_path / "pieces", "ticket", interrupt=True, **options)
    assert_same(tmp_path / "whole", tmp_path / "pieces")


@pytest.mark.parametrize("carry", [False, True])
@pytest.mark.parametrize("latest", ["kept", "dropped"])
def test_a_grown_stream_equals_one_asked_for_at_once(
    tmp_path: Path, carry: bool, latest: str
) -> None:
    """Snapshot 4 comes from training again from snapshot 3, or from the start."""
    options = {"carry_optimizer": carry}
    finish(stream(tmp_path / "once", tasks=7, snapshots="0,2,3,4,6", **options))
    first = stream(tmp_path / "grown", tasks=5, snapshots="0,2,3", **options)
    finish(first)
    if latest == "dropped":
        assert drop_latest(Storage(tmp_path / "grown")) == 1
    grown = stream(tmp_path / "grown", tasks=7, snapshots="0,2,3,4,6", **options)
    finish(grown)
    assert grown.run.run_id == first.run.run_id
    assert_same(tmp_path / "once", tmp_path / "grown")


def test_a_ticket_stream_grows_with_its_state(tmp_path: Path) -> None:
    for root, lengths in (("once", [4]), ("grown", [2, 4])):
        run_all(tmp_path / root, intervention="oldest")
        for tasks in lengths:
            options = {"task": 2, "subnetwork": "ticket", "intervention": "oldest"}
            config = trial_config(tmp_path / root, ticket_tasks=tasks, **options)
            trial = TicketStreamTrial(config)
            finish(trial)
        kept = state_of(tmp_path / root, latest_path(trial.run.run_id))
        assert kept["steps"] == 4 * 6, "it starts without the state of the snapshot"
    assert_same(tmp_path / "once", tmp_path / "grown")


@pytest.mark.parametrize("lost", [snapshot_path, intervention_path])
def test_what_lies_beside_a_snapshot_is_needed_like_the_snapshot(tmp_path: Path, lost: Any) -> None:
    finish(stream(tmp_path / "once", tasks=5, snapshots="0,2,3,4"))
    trial = stream(tmp_path / "grown", tasks=5, snapshots="0,2,3")
    finish(trial)
    path = lost(trial.run.run_id, 3)
    Storage(tmp_path / "grown").delete_file(path)
    (damage,) = inspect(Storage(tmp_path / "grown"), artifacts=True).damages
    assert (damage.path, damage.run_ids) == (path, (trial.run.run_id,))
    reports = finish(stream(tmp_path / "grown", tasks=5, snapshots="0,2,3,4"))
    told = [note for report in reports for note in report["notes"]]
    assert told == [f"{trial.run.label}: {path}: is not there, so the stream starts anew"]
    assert_same(tmp_path / "once", tmp_path / "grown")


# ------------------------------------------------------------------ where it starts afresh


def test_probes_and_each_training_of_a_search_start_without_a_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    make = interventions.make

    def watched(options: Any) -> Any:
        made.append(make(options))
        return made[-1]

    monkeypatch.setattr(interventions, "make", watched)
    finish(stream(tmp_path))
    for kind, extra in ((ProbeTrial, {"measured": "probes"}), (TicketsTrial, {"task": 2})):
        made.clear()
        finish(kind(trial_config(tmp_path, intervention="oldest", **extra)))
        trained = {method.steps for method in made if method.steps}  # others prepare networks
        assert trained == {6}, "one task or round each"


@pytest.mark.parametrize("masked", ["zero", "freeze"])
def test_masked_weights_never_move_under_it(tmp_path: Path, masked: str) -> None:
    run_all(tmp_path, intervention="oldest", masked=masked)
    options = {"task": 2, "subnetwork": "ticket", "masked": masked}
    trial = TicketStreamTrial(trial_config(tmp_path, intervention="oldest", **options))
    trial.begin()
    trial._begun = True
    masks = trial._masks
    assert masks is not None
    begun = {name: t.clone() for name, t in trial._network.state_dict().items()}
    for _ in range(3):
        trial.advance()
        trial.state.steps += 1
    for name, mask in masks.items():
        now = trial._network.state_dict()[name]
        assert torch.equal(now[~mask].view(torch.int32), begun[name][~mask].view(torch.int32))
        assert masked == "freeze" or not now[~mask].any()
        assert not torch.equal(now[mask], begun[name][mask])


# ------------------------------------------------------------------ bad states


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("[1]", "state_dict must return a dict from names to tensors, ints and floats"),
        ("{1: 2}", "state_dict must return a dict from names to tensors, ints and floats"),
        ("{'a': [1]}", "state_dict must return tensors, ints and floats; a is a list"),
        ("{'a': None}", "state_dict must return tensors, ints and floats; a is a NoneType"),
        ("{'a': 2**70}", "state_dict: a cannot be saved (Overflow when unpacking long long)"),
        ("{'a': torch.eye(2).to_sparse()}", "state_dict: a cannot be saved ("),
    ],
)  # fmt: skip
def test_a_state_that_cannot_be_kept_fails_the_run(tmp_path: Path, given: str, why: str) -> None:
    returned = 'return {"ages": self.ages, "steps": self.steps, "share": self.share}'
    load(tmp_path, OLDEST.replace(returned, f"return {given}"))
    assert finish(stream(tmp_path / "root"))[-1]["failed"]
    (run,) = results.read(tmp_path / "root", "runs").to_dict("records")
    assert run["status"] == "failed"
    assert run["error"].startswith(f"intervention oldest: {why}")
    assert "\n" not in run["error"]


@pytest.mark.parametrize(
    ("taken", "why"),
    [
        ('self.ages = state["ages"][1:]', "ages is of shape (5,), not of shape (6,)"),
        ("self.steps = torch.zeros(())", "steps is of shape (), not a number"),
    ],
)
def test_a_state_that_is_not_taken_up_fails_the_run(tmp_path: Path, taken: str, why: str) -> None:
    load(tmp_path, f"{OLDEST}        {taken}\n")
    assert finish(stream(tmp_path / "root"))[-1]["failed"]
    (run,) = results.read(tmp_path / "root", "runs").to_dict("records")
    assert run["error"].startswith(
        "intervention oldest: after load_state_dict, state_dict must return the names and shapes "
        f"that were loaded; {why}"
    )
    assert results.read(tmp_path / "root", "tasks")["task"].tolist() == [0]


def test_an_error_in_taking_up_a_state_names_the_plugin(tmp_path: Path) -> None:
    load(tmp_path, OLDEST.replace('state["ages"]', 'state["age"]'))
    finish(stream(tmp_path / "root"))
    (run,) = results.read(tmp_path / "root", "runs").to_dict("records")
    assert run["error"] == "KeyError: 'age' (at oldest.py:27)"


@pytest.mark.parametrize("name", ["state_dict", "load_state_dict"])
def test_half_of_a_state_is_refused_as_the_plugin_is_loaded(tmp_path: Path, name: str) -> None:
    with pytest.raises(OptionError) as caught:
        load(tmp_path, OLDEST.replace(f"def {name}(", "def something("))
    assert str(caught.value).endswith(
        "TypeError: Oldest: must define both state_dict and load_state_dict, or none of them "
        "(at oldest.py:7)"
    )


# ------------------------------------------------------------------ the tensors themselves


class _Keeping(interventions.Intervention):
    def __init__(self, **state: Any) -> None:
        self.state = state

    def state_dict(self) -> dict[str, Any]:
        return self.state

    def load_state_dict(self, state: Any) -> None:
        self.state = dict(state)


def test_a_state_comes_back_as_it_was() -> None:
    """Through a file: types of numbers, dtypes of tensors, their names, and every bit."""
    given = {
        "int": 2**53 + 1, "float": 0.1, "flag": True, "nan": float("nan"), "tensor/x": torch.eye(2),
        "scalar": torch.tensor(3, dtype=torch.int16), "half": torch.rand(3).bfloat16(),
        "parameter": torch.nn.Parameter(torch.ones(2)), "strided": torch.rand(2, 3).T,
    }  # fmt: skip
    kept = interventions.state_tensors("x", _Keeping(**given))
    read = safetensors.torch.load(safetensors.torch.save(kept))
    taken = _Keeping()
    interventions.load_state("x", taken, read, torch.device("cpu"))
    assert list(sorted(taken.state)) == sorted(given)
    for name, value in given.items():
        found = taken.state[name]
        if isinstance(value, torch.Tensor):
            assert found.dtype == value.dtype
            assert torch.equal(found, value)
        else:
            assert type(found) is type(value)
            assert found == value or (name == "nan" and found != found)


def test_the_next_method_gets_copies() -> None:
    first, second = _Keeping(ages=torch.zeros(2)), _Keeping()
    kept = interventions.state_tensors("x", first)
    first.state["ages"] += 1
    interventions.load_state("x", second, kept, torch.device("cpu"))
    second.state["ages"] += 5
    assert kept["tensor/ages"].tolist() == [0, 0]
