"""What a sweep makes of how its Tune experiments end: scripted ends in place of Tune's own."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from raylot import results
from raylot.config import StreamRun, Study
from raylot.results.integrity import Damage
from raylot.storage import Storage
from raylot.sweep.batches import Batches, Losses, Reports, Terms
from raylot.sweep.execution import Execution
from raylot.sweep.interrupt_guard import InterruptGuard
from raylot.sweep.outcome import outcome
from raylot.sweep.stage import Stage
from raylot.terminal.progress import Progress
from raylot.trials.artifacts import snapshot_path
from raylot.trials.record import now, run_row
from raylot.trials.state import RunState, state_path

End = Callable[[Storage, Sequence[StreamRun]], Losses]


def _finished(storage: Storage, runs: Sequence[StreamRun]) -> Losses:
    for run in runs:
        row = run_row(run, RunState(now()), "finished")
        results.write(storage, "runs", run.run_id, [row])
    return Losses()


def _tune_failed(storage: Storage, runs: Sequence[StreamRun]) -> Losses:
    return Losses(error="no space left")


def _lost(steps: int) -> End:
    """Every worker is lost too often, after so many steps were saved."""

    def end(storage: Storage, runs: Sequence[StreamRun]) -> Losses:
        for run in runs:
            state = RunState(now(), steps=steps)
            storage.write(state_path(run.run_id), state.to_bytes())
        return Losses(given_up={run.run_id: "the actor died" for run in runs})

    return end


def _out_of_reach(storage: Storage, runs: Sequence[StreamRun]) -> Losses:
    names = {run.run_id: "OSError: no route" for run in runs}
    return Losses(given_up=names, storage_failed=set(names))


def _by(compute: Callable[[Sequence[StreamRun]], Losses]) -> Callable[[Batches, Terms], None]:
    """Computes batches of runs by a function that takes the runs of one."""

    def all_batches(batches: Batches, terms: Terms) -> None:
        runs = next(batches, None)
        with suppress(StopIteration):
            while runs:
                runs = batches.send(compute(runs))

    return all_batches


@pytest.fixture
def run_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[list[str], list[str]]]:
    """Runs a stage of one run whose experiments end as scripted: what was given up, and said."""

    def run(*ends: End) -> tuple[list[str], list[str]]:
        left = list(ends)

        def scripted(runs: Sequence[StreamRun]) -> Losses:
            return left.pop(0)(execution.storage, runs)

        monkeypatch.setattr("raylot.sweep.execution._PAUSE", 0.0)
        study = Study.checked(tasks=3, snapshots="0")
        stage = Stage("streams", [study.stream_run(seed=0)])
        said = io.StringIO()
        progress = Progress(console=Console(file=said, width=200))
        guard = InterruptGuard("")
        execution = Execution([stage], Storage(tmp_path), study, {"seed"}, "", progress, guard)
        given_up = execution.run(_by(scripted))
        assert not left, "it stopped too early"
        return given_up, said.getvalue().splitlines()

    return run


def _statuses(root: Path) -> list[tuple[str, str | None]]:
    runs = results.read(Storage(root), "runs")  # which may be empty
    return list(zip(runs["status"], runs["error"], strict=True))


def test_an_experiment_that_fails_is_repeated(run_with: Any, tmp_path: Path) -> None:
    given_up, said = run_with(_tune_failed, _tune_failed, _finished)
    assert given_up == []
    assert said.count("Ray Tune gave up (no space left); trying again") == 2
    assert [status for status, _ in _statuses(tmp_path)] == ["finished"]


def test_but_not_for_ever(run_with: Any, tmp_path: Path) -> None:
    given_up, _ = run_with(*[_tune_failed] * 5)
    assert given_up == ["no space left"]
    assert _statuses(tmp_path) == [], "nothing is known against the run itself"


def test_a_run_whose_worker_is_lost_often_is_continued_while_it_gets_further(
    run_with: Any, tmp_path: Path
) -> None:
    given_up, _ = run_with(*[_lost(steps) for steps in range(1, 10)], _finished)
    assert given_up == []
    assert [status for status, _ in _statuses(tmp_path)] == ["finished"]


def test_a_run_that_gets_no_further_is_recorded_as_failed(run_with: Any, tmp_path: Path) -> None:
    given_up, _ = run_with(_lost(2), _lost(2))
    assert given_up == ["stream seed=0 permuted_pixels: the actor died"]
    assert _statuses(tmp_path) == [("failed", "its worker was lost too often: the actor died")]


def test_of_a_bundle_only_the_run_under_way_is_parted_and_then_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(tmp_path)
    study = Study.checked(tasks=3, snapshots="0")
    runs = [study.stream_run(seed=seed) for seed in range(4)]
    ids = [run.run_id for run in runs]
    rounds: list[tuple[list[str], set[str]]] = []

    def scripted(left: Sequence[StreamRun]) -> Losses:
        rounds.append(([run.run_id for run in left], set(execution.alone)))
        if len(rounds) == 1:  # one bundle, whose second run kills the worker
            _finished(storage, left[:1])
            return Losses(bundles=[(ids, "the actor died")])
        _finished(storage, [run for run in left if run.run_id != ids[1]])
        return Losses(bundles=[([ids[1]], "the actor died")])

    progress = Progress(console=Console(file=io.StringIO()))
    stage = Stage("streams", runs)
    execution = Execution([stage], storage, study, {"seed"}, "", progress, InterruptGuard(""))
    assert execution.run(_by(scripted)) == [f"{runs[1].label}: the actor died"]
    assert rounds == [(ids, set()), (ids[1:], {ids[1]})]
    assert sorted(status for status, _ in _statuses(tmp_path)) == ["failed", *["finished"] * 3]


def test_of_a_bundle_that_could_not_use_the_storage_nothing_is_recorded(
    run_with: Any, tmp_path: Path
) -> None:
    def away(storage: Storage, runs: Sequence[StreamRun]) -> Losses:
        ids = ["another", runs[0].run_id]
        return Losses(bundles=[(ids, "OSError: no route")], storage_failed=set(ids))

    given_up, _ = run_with(away)
    assert given_up == ["stream seed=0 permuted_pixels: OSError: no route"]
    assert _statuses(tmp_path) == []


def test_a_run_that_could_not_use_the_storage_is_not_recorded(
    run_with: Any, tmp_path: Path
) -> None:
    given_up, _ = run_with(_out_of_reach)
    assert given_up == ["stream seed=0 permuted_pixels: OSError: no route"]
    assert _statuses(tmp_path) == []


def test_a_run_that_ended_before_its_worker_was_lost_stays_as_it_is(
    run_with: Any, tmp_path: Path
) -> None:
    def ended_and_lost(storage: Storage, runs: Sequence[StreamRun]) -> Losses:
        _finished(storage, runs)
        return Losses(given_up={run.run_id: "the actor died" for run in runs})

    given_up, _ = run_with(ended_and_lost)
    assert given_up == []
    assert [status for status, _ in _statuses(tmp_path)] == ["finished"]


def test_what_started_from_something_repaired_is_computed_again_if_that_came_out_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(tmp_path)
    study = Study.checked(tasks=3, snapshots="0", sparsities="0.5", probe_tasks=0)
    stream, tickets = study.stream_run(seed=0), study.tickets_run(seed=0, task=0, sparsity=0.5)
    snapshot = snapshot_path(stream.run_id, 0)

    def end(run: StreamRun, checksum: str) -> None:
        told = {"artifacts" if run is stream else "inputs": {snapshot: checksum}}
        row = run_row(run, RunState(now(), **told), "finished")
        results.write(storage, "runs", run.run_id, [row])

    computed: list[StreamRun] = []

    def scripted(runs: Sequence[StreamRun]) -> Losses:
        computed.extend(runs)
        for run in runs:
            end(run, "of another processor")
        return Losses()

    stages = [Stage("streams", [stream]), Stage("tickets", [tickets])]
    progress = Progress(console=Console(file=io.StringIO()))
    execution = Execution(stages, storage, study, {"seed"}, "", progress, InterruptGuard(""))
    for run in (stream, tickets):
        end(run, "as it was")
    execution.repair([Damage("tables/tasks", "is not there", (stream.run_id,), is_file=False)])
    assert execution.run(_by(scripted)) == []
    assert computed == [stream, tickets]


def test_an_input_that_is_always_lost_stops_only_the_runs_that_need_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(tmp_path)
    study = Study.checked(tasks=3, snapshots="0", sparsities="0.5", probe_tasks=0, ticket_tasks=1)
    streams = [study.stream_run(seed=seed) for seed in (0, 1)]
    tickets = [study.tickets_run(seed=seed, task=0, sparsity=0.5) for seed in (0, 1)]
    ticket_streams = [
        study.ticket_stream_run(seed=seed, task=0, sparsity=0.5, subnetwork="ticket")
        for seed in (0, 1)
    ]
    computed: list[StreamRun] = []

    def scripted(runs: Sequence[StreamRun]) -> Losses:
        computed.extend(runs)
        _finished(storage, [run for run in runs if run is not tickets[0]])
        reason = f"{snapshot_path(streams[0].run_id, 0)}: is not there"
        return Losses(inputs={streams[0].run_id: reason} if tickets[0] in runs else {})

    stages = [
        Stage(name, runs)
        for name, runs in zip("abc", (streams, tickets, ticket_streams), strict=True)
    ]
    progress = Progress(console=Console(file=io.StringIO()))
    execution = Execution(stages, storage, study, {"seed"}, "", progress, InterruptGuard(""))
    given_up = execution.run(_by(scripted))
    assert given_up == [f"{snapshot_path(streams[0].run_id, 0)}: is not there"]
    # The sweep computes a lost run once, and again after each of 5 repairs.
    counts = [computed.count(run) for run in (*streams, *tickets, *ticket_streams)]
    assert counts == [6, 1, 6, 1, 0, 1]
    told = outcome(stages, execution.ended, storage, given_up)
    assert (told.finished, told.missing, told.blocked) == (4, 2, 0)


def test_what_several_runs_remark_is_told_once() -> None:
    said = io.StringIO()
    progress = Progress(console=Console(file=said, width=200))
    progress.count_stage("tickets", 2, 0, 0)
    progress.begin_stage("tickets")
    reports = Reports(progress, Losses())
    for label, remarks in (("run 1", ["a"]), ("run 2", ["a", "b"]), ("run 1", ["b", "c"])):
        notes = [f"{label}: {remark}" for remark in remarks] + ["a file is damaged"]
        report = {"label": label, "notes": notes, "doing": "", "done": False, "failed": False}
        steps = {"new_training_steps": 1, "training_steps": 1}
        reports.take(label, {**report, **steps})
    lines = said.getvalue().splitlines()
    assert [line for line in lines if line.startswith("run ")] == [
        "run 1: a",
        "run 2: b",
        "run 1: c",
    ]
    assert lines.count("a file is damaged") == 3
