"""Studies that are widened: what is there grows, and the result is that of asking once.

Stages are computed one after another in this process, without Ray, as a sweep would.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raylot import plugins, results
from raylot.config import StreamRun, Study
from raylot.results.integrity import ended_runs, inspect, unfinished_runs
from raylot.results.manifest import latest_path
from raylot.storage import Storage
from raylot.sweep.space import grid, study_spaces
from raylot.sweep.stage import has_ended
from raylot.sweep.sweep import Sweep
from raylot.tickets import TicketSearch
from raylot.trials.artifacts import masks_path, snapshot_path
from raylot.trials.kinds import TRIALS
from raylot.trials.stream import StreamTrial
from tests.support import oldest
from tests.support.tables import read_sorted
from tests.unit.sweep.other_machine import change_row
from tests.unit.trials.runs import finish, run_config

#: One stream, and the searches of two snapshots. Every training takes 6 steps.
BASE = {
    "hidden": "6", "tasks": 3, "snapshots": "0,2", "epochs": 1, "batch_size": 256, "lr": 0.01,
    "tickets": 2, "rounds": 2, "probe_size": 20, "ntk_examples": 0, "sharpness_iterations": 0,
    "shifts": "permuted_pixels", "seeds": "0", "sparsities": "0.8", "probe_tasks": 0,
    "barrier_points": 3,
}  # fmt: skip
STEPS = 6

#: What a study may measure beside the structure of its snapshots, from nothing to all.
MEASURED: dict[str, list[Any]] = {
    "probe_tasks": [0, 1, 2],
    "ntk_examples": [0, 4],
    "sharpness_iterations": [0, 2],
    "metrics": [None, "one", "one,two"],
}

#: Trials save their state after every step.
SAVE_INTERVAL = 0.0

#: Searches that take few steps, where the stream alone matters: a dense training and a round.
SHORT = {
    "tickets": 1, "untrained_masks": 0, "random_masks": 0, "rounds": 1, "sparsities": "0.5",
}  # fmt: skip

#: A study, and a wider one, whose stream grows in both ways; its searches are new or the same.
LONGER_STREAM = (
    {**SHORT, "tasks": 4, "snapshots": "0,3"}, {**SHORT, "tasks": 6, "snapshots": "0,2,3,5"}
)  # fmt: skip
#: A study, and a wider one, whose only search grows in every way.
LARGER_SEARCH = (
    {"tasks": 1, "snapshots": "0", "tickets": 1, "random_masks": 1},
    {"tasks": 1, "snapshots": "0", "tickets": 3, "untrained_masks": 2, "random_masks": 2,
     "rewired_masks": 2, "reinit_tickets": 1, "supermasks": 2, "tolerance": 0.3},
)  # fmt: skip
#: A study, and a wider one, whose only ticket stream grows in both ways.
LONGER_TICKET_STREAM = (
    {**SHORT, "tasks": 1, "snapshots": "0", "subnetworks": "ticket", "ticket_tasks": 2},
    {**SHORT, "tasks": 1, "snapshots": "0", "subnetworks": "ticket", "ticket_tasks": 5,
     "ticket_snapshots": "0,1,4"},
)  # fmt: skip
#: A study, and a wider one, whose pairs of copies grow in every way, and those of its tickets.
MORE_PAIRS = (
    {**SHORT, "tasks": 1, "snapshots": "0", "tickets": 4, "retraining_pairs": 1, "ticket_pairs": 1},
    {**SHORT, "tasks": 2, "snapshots": "0,1", "tickets": 4, "retraining_pairs": 2,
     "ticket_pairs": 2, "sparsities": "0.5,0.8"},
)  # fmt: skip
#: Studies and wider ones, by what grows.
GROWING = {
    "stream": LONGER_STREAM, "search": LARGER_SEARCH, "ticket stream": LONGER_TICKET_STREAM,
    "pairs": MORE_PAIRS,
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Metrics ``one`` and ``two``, and an intervention that remembers something."""
    file = tmp_path_factory.mktemp("plugin") / "mine.py"
    file.write_text(
        "from raylot import plugins\n"
        "@plugins.metric('one', of='weights')\n"
        "def one(weights, options):\n"
        "    return weights.abs().max()\n"
        "@plugins.metric('two', of='activations')\n"
        "def two(layer, options):\n"
        "    return layer.outputs.mean() + options.probe_size\n"
    )
    plugins.load(file)
    oldest.load(file.parent)
    yield
    plugins.forget()


def sweep_of(root: Path, **options: Any) -> Sweep:
    study = Study.checked(**{**BASE, **options})
    return Sweep(study, Storage(root), *study_spaces(study))


def compute(root: Path, **options: Any) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Computes what a study lacks; yields each run's predicted steps, and its trial's reports."""
    sweep = sweep_of(root, **options)
    for stage in sweep.stages:
        ended = ended_runs(sweep.storage)
        ready = stage.ready(ended, sweep.storage)
        for run, predicted in stage.work(ended, sweep.storage):
            if run in ready:
                trial = TRIALS[run.kind](run_config(run, root, SAVE_INTERVAL))
                yield predicted, finish(trial)


def ask(root: Path, **options: Any) -> int:
    """Computes what a study lacks; returns the training steps that this took.

    Each run takes as many as a dry run says.
    """
    taken = 0
    for predicted, reports in compute(root, **options):
        assert not {"kept", "lost_run"} & reports[-1].keys(), reports[-1]
        steps = sum(report["new_training_steps"] for report in reports)
        assert steps == predicted, f"{reports[-1]['label']} takes {steps} steps, not {predicted}"
        taken += steps
    return taken


def try_to_compute(root: Path, **options: Any) -> list[dict[str, Any]]:
    """Computes what a study lacks, however that goes; returns each run's last report."""
    return [reports[-1] for _, reports in compute(root, **options)]


def assert_whole(root: Path) -> None:
    """Every file is as it was written, and no run is under way."""
    storage = Storage(root)
    assert inspect(storage, artifacts=True).damages == []
    assert not list((root / "state").rglob("*.safetensors"))


def assert_same(expected: Path, found: Path) -> None:
    """All tables are equal, cell by cell; with one ticket there are no overlaps."""
    for table in results.SCHEMAS:
        one, other = read_sorted(expected, table), read_sorted(found, table)
        pd.testing.assert_frame_equal(one, other, check_exact=True, obj=table)
    assert not read_sorted(expected, "tickets").empty


def counted_steps(root: Path) -> int:
    return int(results.read(root, "runs")["training_steps"].sum())


# ------------------------------------------------------------------ in any order


@st.composite
def studies(draw: st.DrawFn, most_pairs: int = 0) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A study, and commands that each ask for a part of it; the last asks for all.

    It has so many pairs of copies of a snapshot, and of a search's tickets, at most.
    """

    def some(values: list[Any], least: int = 1, most: int | None = None) -> list[Any]:
        chosen = draw(st.sets(st.sampled_from(values), min_size=least, max_size=most))
        return [value for value in values if value in chosen]

    def count(most: int, least: int = 0) -> int:
        return draw(st.integers(least, most))

    fixed = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "carry_optimizer": st.just(True),
                "rewind_steps": st.just(2),
                "plastic_scaling": st.just("unit"),
                "scope": st.just("global"),
                "search_task": st.just("probe"),
                "random_density": st.just(0.3),
            },
        )
    )
    widest = draw(st.sampled_from(["seeds", "shifts", "interventions", "doses", "sparsities"]))

    def command(of: Mapping[str, Any] | None) -> dict[str, Any]:
        """A study, or a part of one."""

        def part(name: str, values: list[Any]) -> list[Any]:
            return some(values if of is None else of[name], most=2)

        snapshots = part("snapshots", list(range(5)))
        most = 6 if of is None else of["tasks"]
        tickets = count(3 if of is None else of["tickets"], 1)
        found: dict[str, Any] = {
            "snapshots": snapshots,
            "tasks": count(most, snapshots[-1] + 1),
            "tickets": tickets,
        }
        largest = {
            "untrained_masks": 2, "random_masks": 3, "rewired_masks": 2, "reinit_tickets": 2,
            "supermasks": 2,
        }  # fmt: skip
        for name, most in largest.items():
            found[name] = count(min(tickets, most if of is None else of[name]))
        everything = {
            "seeds": [0, 1], "shifts": ["permuted_pixels", "stationary"], "sparsities": [0.5, 0.8],
            "interventions": ["none", "shrink_and_perturb", "oldest"], "doses": [0.001, 0.1],
        }  # fmt: skip
        for name, values in everything.items():
            found[name] = part(name, values if name == widest else values[:1])
        for name, most in (("retraining_pairs", 2), ("ticket_pairs", tickets // 2)):
            found[name] = count(min(most, most_pairs if of is None else of[name]))
        found["tolerance"] = draw(st.sampled_from([0.01, 0.5])) if of is None else of["tolerance"]
        for name, values in MEASURED.items():
            known = values if of is None else values[: values.index(of[name]) + 1]
            found[name] = draw(st.sampled_from(known))
        found["subnetworks"] = part("subnetworks", ["ticket", "dense", "random", "reinit"])
        lengths = [0, 1, 3, 11]
        found["ticket_tasks"] = draw(
            st.sampled_from([n for n in lengths if of is None or n <= of["ticket_tasks"]])
        )
        found["ticket_snapshots"] = None  # as customary
        if of is None and found["ticket_tasks"] and draw(st.booleans()):
            found["ticket_snapshots"] = some(list(range(min(3, found["ticket_tasks"]))))
        elif of is not None and of["ticket_snapshots"] and found["ticket_tasks"]:
            possible = [n for n in of["ticket_snapshots"] if n < found["ticket_tasks"]]
            found |= {"ticket_snapshots": some(possible)} if possible else {"ticket_tasks": 0}
        return found

    whole = command(None)
    parts = [command(whole) for _ in range(draw(st.integers(1, 4)))]
    for number, each in enumerate(parts):
        each["tolerance"] = (0.01, 0.2)[number % 2]

    def options(asked: Mapping[str, Any]) -> dict[str, Any]:
        asked = {**fixed, **asked}
        doses = asked.pop("doses")
        if widest == "doses":
            asked |= {"interventions": ["none", "l2_init"], "search": {"l2_strength": doses}}
        return asked

    return options(whole), [*map(options, parts), options(whole)]


def check_order_does_not_matter(
    folder: Path, study: Mapping[str, Any], commands: list[dict[str, Any]], compacts: bool
) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    taken = 0
    for command in commands:
        taken += ask(folder / "widened", **command)
        if compacts:
            results.compact(Storage(folder / "widened"))
    at_once = ask(folder / "once", **study)
    assert ask(folder / "widened", **study) == 0, "nothing is left to compute"
    assert_same(folder / "once", folder / "widened")
    assert_whole(folder / "widened")
    assert counted_steps(folder / "widened") == counted_steps(folder / "once") == at_once
    assert taken >= at_once


_IN_ANY_ORDER: dict[str, Any] = {
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


@settings(max_examples=10, **_IN_ANY_ORDER)
@given(asked=studies(), compacts=st.booleans())
def test_a_study_that_was_widened_equals_the_study_asked_for_at_once(
    tmp_path: Path, asked: tuple[dict[str, Any], list[dict[str, Any]]], compacts: bool
) -> None:
    check_order_does_not_matter(tmp_path / "study", *asked, compacts)


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
@settings(max_examples=200, **_IN_ANY_ORDER)
@given(asked=studies(most_pairs=2), compacts=st.booleans())
def test_many_studies_that_were_widened_equal_those_asked_for_at_once(
    tmp_path: Path, asked: tuple[dict[str, Any], list[dict[str, Any]]], compacts: bool
) -> None:
    check_order_does_not_matter(tmp_path / "study", *asked, compacts)


# ------------------------------------------------------------------ killed while it grows


class Killer:
    """Ends the command at a storage operation that changes something, as SIGKILL would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = -1  # operations until the kill
        self.count = 0
        for name in ("write", "delete_file", "delete_folder", "set_aside"):
            monkeypatch.setattr(Storage, name, self._counted(getattr(Storage, name)))

    def _counted(self, change: Any) -> Any:
        def counted(storage: Storage, *arguments: Any) -> None:
            self.count += 1
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            change(storage, *arguments)

        return counted


@pytest.mark.slow  # faster: a new trial for each step
@pytest.mark.parametrize(("first", "then"), GROWING.values(), ids=GROWING)
@pytest.mark.parametrize("save_interval", [0.0, 1000.0], ids=["saving", "not saving"])
def test_a_kill_at_any_storage_operation_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: dict[str, Any], then: dict[str, Any],
    save_interval: float,
) -> None:  # fmt: skip
    monkeypatch.setitem(globals(), "SAVE_INTERVAL", save_interval)
    ask(tmp_path / "once", **then)
    ask(tmp_path / "first", **first)
    killer = Killer(monkeypatch)
    shutil.copytree(tmp_path / "first", tmp_path / "undisturbed")
    ask(tmp_path / "undisturbed", **then)
    operations, every = killer.count, 1 if save_interval else 4
    assert operations > 8
    for operation in range(0, operations, every):
        root = tmp_path / f"killed at {operation}"
        shutil.copytree(tmp_path / "first", root)
        killer.left = operation
        with pytest.raises(KeyboardInterrupt):
            try_to_compute(root, **then)
        killer.left = -1
        try_to_compute(root, **then)
        assert_same(tmp_path / "once", root)
        assert inspect(Storage(root), artifacts=True).damages == []
        assert ask(root, **then) == 0
        shutil.rmtree(root)


@pytest.mark.parametrize(("first", "then"), GROWING.values(), ids=GROWING)
def test_a_new_trial_for_every_step_changes_nothing(
    tmp_path: Path, first: dict[str, Any], then: dict[str, Any]
) -> None:
    ask(tmp_path / "once", **then)
    ask(tmp_path / "pieces", **first)
    sweep = sweep_of(tmp_path / "pieces", **then)
    trials = 0
    for stage in sweep.stages:
        ended = ended_runs(sweep.storage)
        runs = stage.ready(ended, sweep.storage)
        for run in runs:
            while not TRIALS[run.kind](run_config(run, tmp_path / "pieces")).step()["done"]:
                trials += 1
    assert trials > 4
    assert_same(tmp_path / "once", tmp_path / "pieces")
    assert_whole(tmp_path / "pieces")


@pytest.mark.parametrize("other", ["more", "fewer", "the same"])
@pytest.mark.parametrize("steps", [pytest.param(1, marks=pytest.mark.slow), 4])
@pytest.mark.parametrize("is_new", [False, True], ids=["growing", "new"])
def test_a_run_that_was_interrupted_may_be_asked_for_other_counts(
    tmp_path: Path, steps: int, other: str, is_new: bool
) -> None:
    """The trial completes what it has begun, and then computes what is new."""
    begun = {**LONGER_STREAM[1], "tickets": 3, "rewired_masks": 1}
    others = {
        "more": {**begun, "tasks": 8, "snapshots": "0,1,2,3,5", "tickets": 4, "reinit_tickets": 2},
        "fewer": {**begun, "tasks": 5, "snapshots": "0,1,3", "tickets": 2, "rewired_masks": 0},
        "the same": begun,
    }  # fmt: skip
    root = tmp_path / "interrupted"
    if not is_new:
        ask(root, **LONGER_STREAM[0])
    sweep = sweep_of(root, **begun)
    for stage in sweep.stages:
        ended = ended_runs(sweep.storage)
        runs = [run for run in stage.ready(ended, sweep.storage) if is_new or run.run_id in ended]
        for run in runs:
            trial = TRIALS[run.kind](run_config(run, root))
            for _ in range(steps):
                if trial.step()["done"]:
                    break
    try_to_compute(root, **others[other])
    assert ask(root, **others[other]) == 0
    try_to_compute(root, **begun)
    try_to_compute(root, **others[other])
    whole = others["more"] if other == "more" else {**begun, "snapshots": "0,1,2,3,5"}
    ask(root, **whole)
    ask(tmp_path / "once", **whole)
    assert_same(tmp_path / "once", root)
    assert_whole(root)
    # It can grow further.
    further = {**whole, "tasks": 10}
    ask(root, **further)
    ask(tmp_path / "once", **further)
    assert_same(tmp_path / "once", root)


# ------------------------------------------------------------------ not reproduced


def changed_row(root: Path, task: int) -> StreamRun:
    """Changes a row of the stream's ``tasks``; returns the stream."""
    stream = sweep_of(root, **LONGER_STREAM[0]).stages[0].runs[0]
    change_row(Storage(root), stream.run_id, task)
    return stream


def test_a_stream_that_is_not_reproduced_is_left_as_it_was(tmp_path: Path) -> None:
    root, first, then = tmp_path / "here", *LONGER_STREAM
    ask(root, **first)
    stream = changed_row(root, 1)
    shutil.copytree(root, tmp_path / "before")
    (report, *searches) = try_to_compute(root, **then)
    assert report["done"]
    assert not report["failed"]
    told = report["kept"]
    assert told.startswith(
        f"{stream.label}: trained again on task 1, it does not find its row: test_loss is "
    )
    assert "repeat the command where they were computed" in told
    assert len(told.splitlines()) == 1
    assert not searches, "those that are there need nothing, and the others lack their snapshot"
    assert_same(tmp_path / "before", root)
    assert_whole(root)
    for name in ("seconds", "started"):
        one, other = (results.read(folder, "runs")[name] for folder in (root, tmp_path / "before"))
        assert one.tolist() == other.tolist()
    (end,) = (end for end in ended_runs(Storage(root)).values() if end.kind == "stream")
    assert (end.status, end.extent) == ("finished", {"tasks": 4, "snapshots": [0, 3]})
    assert has_ended(stream, {stream.run_id: end})


def test_a_stream_that_diverges_when_it_is_trained_again_is_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, first, then = tmp_path / "here", *LONGER_STREAM
    ask(root, **first)
    shutil.copytree(root, tmp_path / "before")
    learn = StreamTrial.learn

    def diverging(trial: StreamTrial, t: int, *arguments: Any) -> dict[str, float]:
        learned = learn(trial, t, *arguments)
        trial.state.diverged = True
        return {**learned, "test_loss": float("nan")}

    monkeypatch.setattr(StreamTrial, "learn", diverging)
    (report,) = try_to_compute(root, **then)
    assert "test_loss is nan, not " in report["kept"]
    assert_same(tmp_path / "before", root)
    assert_whole(root)


def test_what_a_stream_has_added_before_it_is_not_reproduced_stays(tmp_path: Path) -> None:
    """It went on by two tasks, and is then asked for a snapshot whose past is another machine's."""
    root, (first, _) = tmp_path / "here", LONGER_STREAM
    ask(root, **first)
    stream = changed_row(root, 1)
    longer = {**first, "tasks": 6, "snapshots": "0,3,5"}
    sweep = sweep_of(root, **longer)
    (run,) = sweep.stages[0].runs
    TRIALS["stream"](run_config(run, root)).step()
    (report, *searches) = try_to_compute(root, **{**longer, "snapshots": "0,2,3,5"})
    assert "kept" in report
    assert [search["kind"] for search in searches] == ["tickets"]
    end = ended_runs(Storage(root))[stream.run_id]
    assert (end.status, end.extent) == ("finished", {"tasks": 6, "snapshots": [0, 3, 5]})
    assert results.read(root, "tasks")["task"].tolist() == [0, 1, 2, 3, 4, 5]
    assert_whole(root)
    # It goes on from where it is, not from an older state.
    ask(root, **{**longer, "tasks": 7})
    ask(tmp_path / "once", **{**longer, "tasks": 7})
    kept = read_sorted(root, "tasks").query("task != 1")
    assert kept.equals(read_sorted(tmp_path / "once", "tasks").query("task != 1"))


# ------------------------------------------------------------------ lost and damaged files


def _damage(root: Path, path: str, damage: str) -> None:
    if damage == "gone":
        (root / path).unlink()
    else:
        data = (root / path).read_bytes()
        (root / path).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


@pytest.mark.parametrize("damage", ["gone", "damaged"])
def test_without_its_latest_state_a_stream_goes_on_from_a_snapshot(
    tmp_path: Path, damage: str
) -> None:
    first, then = LONGER_STREAM
    root = tmp_path / "damaged"
    ask(root, **first)
    stream = sweep_of(root, **first).stages[0].runs[0]
    path = latest_path(stream.run_id)
    _damage(root, path, damage)
    found = inspect(Storage(root), artifacts=True)
    assert [(each.path, each.run_ids) for each in found.damages] == (
        [] if damage == "gone" else [(path, ())]
    )
    longer = {**first, "tasks": 6}
    predicted, reports = zip(*compute(root, **longer), strict=True)
    # Task 3 is trained again from its snapshot, then tasks 4 and 5.
    assert predicted[0] == (3 if damage == "gone" else 2) * STEPS, "damage shows on reading alone"
    assert [report["new_training_steps"] for report in reports[0]] == [STEPS] * 3
    (note,) = (note for report in reports[0] for note in report["notes"])
    assert path in note
    assert note.endswith("so the stream goes on from an earlier snapshot")
    ask(tmp_path / "once", **longer)
    assert_same(tmp_path / "once", root)
    assert_whole(root)
    ask(root, **then)
    ask(tmp_path / "once", **then)
    assert_same(tmp_path / "once", root)


def test_without_its_latest_state_a_stream_keeps_the_optimizer_that_is_at_hand(
    tmp_path: Path,
) -> None:
    """It trains again from its start for a snapshot, and goes on from there."""
    first = {**SHORT, "tasks": 4, "snapshots": "0", "carry_optimizer": True}
    then = {**first, "tasks": 6, "snapshots": "0,2"}
    ask(tmp_path / "once", **then)
    root = tmp_path / "dropped"
    ask(root, **first)
    (stream,) = sweep_of(root, **first).stages[0].runs
    _damage(root, latest_path(stream.run_id), "damaged")  # which it sees as it reads it
    assert not {"kept"} & {key for report in try_to_compute(root, **then) for key in report}
    assert_same(tmp_path / "once", root)
    assert_whole(root)


@pytest.mark.parametrize("damage", ["gone", "damaged"])
def test_without_the_snapshot_from_which_it_would_go_on_a_stream_starts_anew(
    tmp_path: Path, damage: str
) -> None:
    root, (first, _) = tmp_path / "damaged", LONGER_STREAM
    ask(root, **first)
    stream = sweep_of(root, **first).stages[0].runs[0]
    _damage(root, latest_path(stream.run_id), damage)
    _damage(root, snapshot_path(stream.run_id, 3), damage)
    longer = {**first, "tasks": 6}
    reports = try_to_compute(root, **longer)
    assert not reports[0]["failed"]
    ask(tmp_path / "once", **longer)
    assert_same(tmp_path / "once", root)
    assert_whole(root)


def test_a_run_that_starts_anew_as_it_grows_keeps_its_rows_until_it_ends(tmp_path: Path) -> None:
    first = LONGER_STREAM[0]
    ask(tmp_path, **first)
    before = {table: results.read(tmp_path, table) for table in results.SCHEMAS}
    (stream,) = sweep_of(tmp_path, **first).stages[0].runs
    for path in (latest_path(stream.run_id), snapshot_path(stream.run_id, 3)):
        _damage(tmp_path, path, "damaged")
    (longer,) = sweep_of(tmp_path, **{**first, "tasks": 6}).stages[0].runs
    report = TRIALS["stream"](run_config(longer, tmp_path)).step()
    assert any(note.endswith("so the stream starts anew") for note in report["notes"])
    for table, rows in before.items():
        pd.testing.assert_frame_equal(results.read(tmp_path, table), rows)


@pytest.mark.parametrize("damage", ["gone", "damaged"])
def test_a_search_that_has_lost_a_mask_starts_anew(tmp_path: Path, damage: str) -> None:
    first, then = LARGER_SEARCH
    root = tmp_path / "damaged"
    ask(root, **first)
    search = sweep_of(root, **first).stages[2].runs[0]
    _damage(root, masks_path(search.run_id, 0), damage)
    (reports,) = (reports for _, reports in compute(root, **then))
    whole = sweep_of(root, **then).stages[2].runs[0].training_steps
    assert sum(report["new_training_steps"] for report in reports) == whole
    notes = [note for report in reports for note in report["notes"]]
    assert [note for note in notes if note.endswith("so the search starts anew")]
    ask(tmp_path / "once", **then)
    assert_same(tmp_path / "once", root)
    assert_whole(root)


# ------------------------------------------------------------------ what the dry run says


def left(root: Path, **options: Any) -> dict[str, tuple[int, int, int]]:
    """Stage -> new runs, runs to grow, and training steps that the dry run says are left."""
    lines = sweep_of(root, **options).plan().splitlines()
    assert lines[0].split()[2:5] == ["finished", "new", "to"]
    numbers = {line[:15].strip(): line[15:].replace(",", "").split() for line in lines[1:]}
    return {name: (int(of[2]), int(of[3]), int(of[-1])) for name, of in numbers.items()}


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stream of 4 tasks with 2 snapshots, and 2 tickets of each; not to be written to."""
    root = tmp_path_factory.mktemp("asked")
    ask(root, tasks=4, snapshots="0,3")
    return root


@pytest.mark.parametrize(
    ("wider", "streams", "measurements", "tickets"),
    # For each: new runs, runs to grow, trainings.
    [
        ({}, (0, 0, 0), (0, 0, 0), (0, 0, 0)),
        # Each of 2 more tickets is trained densely and in 2 rounds, and has its random mask.
        ({"tickets": 4}, (0, 0, 0), (0, 0, 0), (0, 2, 2 * 2 * 4)),
        ({"tickets": 4, "random_masks": 2}, (0, 0, 0), (0, 0, 0), (0, 2, 2 * 2 * 3)),
        ({"reinit_tickets": 2}, (0, 0, 0), (0, 0, 0), (0, 2, 2 * 2)),
        ({"tickets": 1, "random_masks": 1}, (0, 0, 0), (0, 0, 0), (0, 0, 0)),
        ({"tolerance": 0.1}, (0, 0, 0), (0, 0, 0), (0, 2, 0)),
        ({"tasks": 7}, (0, 1, 3), (0, 0, 0), (0, 0, 0)),
        ({"tasks": 2, "snapshots": "0"}, (0, 0, 0), (0, 0, 0), (0, 0, 0)),
        ({"probe_size": 30}, (0, 0, 0), (2, 0, 0), (0, 0, 0)),  # not of weights
        ({"dormant_threshold": 0.1}, (0, 0, 0), (1, 0, 0), (0, 0, 0)),
        ({"ntk_examples": 5, "sharpness_iterations": 2}, (0, 0, 0), (2, 0, 0), (0, 0, 0)),
        ({"measures": "churn,sample_plasticity,hessian"}, (0, 0, 0), (3, 0, 0), (0, 0, 0)),
        # Tasks 0 and 1 again; a search trains 2 tickets thrice, and 3 controls.
        ({"snapshots": "0,2,3"}, (0, 1, 2), (0, 3, 0), (1, 0, 9)),
        # Task 0 again for one snapshot, and on with task 1 for the other.
        ({"snapshots": "0,1,2,3"}, (0, 1, 2), (0, 3, 0), (2, 0, 18)),
        ({"tasks": 6, "snapshots": "0,2,3,5"}, (0, 1, 2 + 2), (0, 3, 0), (2, 0, 18)),
        # 4 tasks, and 2 searches.
        ({"seeds": "0-1"}, (1, 0, 4), (3, 0, 0), (2, 0, 18)),
        (
            {"seeds": "0-1", "tasks": 5, "tickets": 3},
            (1, 1, 5 + 1),
            (3, 0, 0),
            (2, 2, 2 * 13 + 2 * 4),
        ),
    ],
    ids=str,
)
def test_the_dry_run_says_what_is_left_in_training_steps(
    asked: Path,
    wider: dict[str, Any],
    streams: tuple[int, int, int],
    measurements: tuple[int, int, int],
    tickets: tuple[int, int, int],
) -> None:
    expected = {"streams": streams, "measurements": measurements, "tickets": tickets}
    assert left(asked, **{"tasks": 4, "snapshots": "0,3", **wider}) == {
        stage: (new, growing, trainings * STEPS)
        for stage, (new, growing, trainings) in expected.items()
    }


def test_the_dry_run_says_which_networks_are_left_to_train_on_probe_tasks(asked: Path) -> None:
    """Snapshot 0 is the fresh network."""
    there = {"tasks": 4, "snapshots": "0,3"}
    assert left(asked, **there, probe_tasks=2)["probes"] == (1, 0, 2 * 2 * STEPS)
    assert left(asked, **there, probe_tasks=2, probe_shift="rotation")["probes"] == (
        1, 0, 2 * 2 * STEPS
    )  # fmt: skip


def test_plain_pandas_reads_no_row_of_before_a_compacted_run_has_grown(tmp_path: Path) -> None:
    first, then = LARGER_SEARCH
    ask(tmp_path, **first)
    results.compact(Storage(tmp_path))
    ask(tmp_path, **then)
    results.drop_replaced(Storage(tmp_path), list(ended_runs(Storage(tmp_path))))
    for table in results.SCHEMAS:
        rows = results.read(tmp_path, table)
        files = tmp_path / "tables" / table  # without probe tasks there are none of these
        assert (len(pd.read_parquet(files)) if files.exists() else 0) == len(rows), table
    ask(tmp_path / "once", **then)
    assert_same(tmp_path / "once", tmp_path)
    assert_whole(tmp_path)


def test_a_run_that_is_growing_counts_as_it_was_and_is_listed(tmp_path: Path) -> None:
    ask(tmp_path, **LONGER_STREAM[0])
    storage = Storage(tmp_path)
    before = {table: results.read(tmp_path, table) for table in results.SCHEMAS}
    for stage in sweep_of(tmp_path, **{**LONGER_STREAM[1], "tickets": 3}).stages:
        for run in stage.runs:
            if run.run_id in ended_runs(storage):
                TRIALS[run.kind](run_config(run, tmp_path)).step()
    for table, rows in before.items():
        pd.testing.assert_frame_equal(results.read(tmp_path, table), rows)
    found = inspect(storage, artifacts=True)
    assert found.damages == []
    assert len(found.growing) == 3  # its measurement waits for the stream
    listed = unfinished_runs(storage, found.runs.keys() - found.growing)
    (stream,) = sweep_of(tmp_path, **LONGER_STREAM[1]).stages[0].runs
    assert (stream.label, stream.protocol) in {(run.label, run.protocol) for run in listed}
    assert ask(tmp_path, **LONGER_STREAM[0]) == 0, "what it asks for is there"


def test_a_growth_that_fails_leaves_the_run_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, then = LONGER_STREAM
    ask(tmp_path, **first)
    before = {table: results.read(tmp_path, table) for table in results.SCHEMAS}

    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("too little memory")

    with monkeypatch.context() as patch:
        patch.setattr(StreamTrial, "_learn", fails)
        (report,) = try_to_compute(tmp_path, **{**then, "snapshots": first["snapshots"]})
    assert report["failed"]
    assert "cannot grow, and is left as it was (RuntimeError: too little memory" in report["kept"]
    for table, rows in before.items():
        pd.testing.assert_frame_equal(results.read(tmp_path, table), rows)
    assert ask(tmp_path, **first) == 0
    ask(tmp_path, **then)
    ask(tmp_path / "once", **then)
    assert_same(tmp_path / "once", tmp_path)


def test_a_search_that_diverges_as_it_grows_has_no_verdict_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, then = LARGER_SEARCH
    ask(tmp_path, **first)
    results.compact(Storage(tmp_path))
    train_round = TicketSearch.train_round

    def diverges(search: TicketSearch) -> Any:
        trained = train_round(search)
        return [(row, dataclasses.replace(result, diverged=True)) for row, result in trained]

    with monkeypatch.context() as patch:
        patch.setattr(TicketSearch, "train_round", diverges)
        try_to_compute(tmp_path, **then)
    assert set(results.read(tmp_path, "runs")["status"]) == {"finished", "diverged"}
    for table in ("snapshots", "overlaps", "plastic_parameters"):
        assert results.read(tmp_path, table).empty
    assert inspect(Storage(tmp_path), artifacts=True).damages == []


def test_a_run_that_a_space_asks_for_twice_is_computed_as_wide_as_either_wants(
    tmp_path: Path,
) -> None:
    study = Study.checked(**BASE)
    streams, tickets, _ = study_spaces(study)
    both = {**tickets, "tickets": grid([2, 1]), "random_masks": grid([1, 0])}
    for run in Sweep(study, Storage(tmp_path), streams, both).stages[2].runs:
        assert (run.extent["tickets"], run.extent["random_masks"]) == (2, 1)
