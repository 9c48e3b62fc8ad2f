"""Sweeps on a real Ray cluster: what is computed, what is skipped, what is refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from ray import tune

from raylot import results
from raylot.analysis import correlation
from raylot.config import StreamRun, Study
from raylot.foundation.errors import OptionError
from raylot.results.integrity import ended_runs, inspect
from raylot.storage import Storage
from raylot.sweep import cluster as cluster_module
from raylot.sweep.execution import Execution
from raylot.sweep.interrupt_guard import InterruptGuard
from raylot.sweep.space import study_spaces
from raylot.sweep.sweep import Sweep
from raylot.terminal.progress import Progress
from raylot.trials.artifacts import snapshot_path
from raylot.trials.base import _granted_device
from raylot.trials.kinds import TRIALS
from raylot.trials.tickets import TicketsTrial
from tests.support.tables import assert_same_tables
from tests.unit.sweep.other_machine import change_row
from tests.unit.sweep.sweeps import TINY, computed_here, sweep_of
from tests.unit.sweep.tensorboard_server import TensorBoardServer

#: Tickets of one of two snapshots go on learning, at the highest sparsity.
_THREE_STAGES = {
    "ticket_tasks": 2, "subnetworks": "ticket,dense", "stream_snapshots": "2",
    "stream_sparsities": "highest",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """One Ray for all tests here: a sweep uses a session that is open already."""
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def _written(root: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in (root / "tables").rglob("*.parquet")}


@pytest.fixture(scope="module")
def two_seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with a finished sweep over two seeds and two sparsities, two runs at once."""
    root = tmp_path_factory.mktemp("two_seeds")
    outcome = sweep_of(root, [0, 1], [0.5, 0.8], max_concurrent=2, **_THREE_STAGES).run()
    assert (outcome.finished, outcome.missing) == (2 + 8 + 8 + 4 + 12, 0)
    assert not outcome.interrupted
    assert not outcome.failures
    return root


def test_a_storage_in_a_folder_of_any_name_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the sweep, its lease, its trials and Tune; a path that was typed like this is a slip."""
    folder = tmp_path / "study: a\\b $HOME %TEMP%"
    folder.mkdir()
    monkeypatch.chdir(folder)
    study = Study.checked(**TINY, shifts="permuted_pixels", seeds=[0], sparsities=[0.5])
    sweep = Sweep(study, Storage("results"), *study_spaces(study))
    assert not sweep.finished()
    outcome = sweep.run()
    assert (outcome.finished, outcome.missing, list(outcome.lost)) == (1 + 4 + 2, 0, [])
    results.compact(Storage("results"))
    assert sweep.finished()


def test_a_widened_search_space_computes_only_what_is_new(tmp_path: Path, two_seeds: Path) -> None:
    """And neither order, nor concurrency, nor Tune itself changes what that is."""
    first = sweep_of(tmp_path, [0], [0.8], **_THREE_STAGES)
    computed_here(first, 0, 1, 2, 3, 4, 5)
    assert first.finished()
    before = _written(tmp_path)
    again = sweep_of(tmp_path, [1, 0], [0.8, 0.5], max_concurrent=1, **_THREE_STAGES)
    ended = ended_runs(again.storage)
    assert [len(stage.missing(ended)) for stage in again.stages] == [1, 1, 3, 6, 2, 6]
    assert again.run().finished == 2 + 8 + 8 + 4 + 12
    after = _written(tmp_path)
    assert {path: after[path] for path in before} == before
    assert_same_tables(two_seeds, tmp_path)


def test_a_sweep_notes_its_packages(two_seeds: Path) -> None:
    assert f"torch=={version('torch')}" in (two_seeds / "environment.txt").read_text()


def test_a_finished_sweep_starts_nothing(two_seeds: Path) -> None:
    before = _written(two_seeds)
    experiments = list((two_seeds / "tune").iterdir())
    expected = 2 + 8 + 8 + 4 + 12
    assert sweep_of(two_seeds, [0, 1], [0.5, 0.8], **_THREE_STAGES).run().finished == expected
    assert _written(two_seeds) == before
    assert list((two_seeds / "tune").iterdir()) == experiments


@pytest.mark.parametrize("kept", [(0, -1), (None, None)], ids=["damaged", "gone"])
def test_what_is_damaged_or_gone_is_named_and_computed_again(
    tmp_path: Path,
    two_seeds: Path,
    kept: tuple[int | None, int | None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A table that is read at the start, and a snapshot that is only read when it is needed."""
    root = Path(shutil.copytree(two_seeds, tmp_path / "copy"))
    sweep = sweep_of(root, [0, 1], [0.5, 0.8], **_THREE_STAGES)
    stream, ticket = sweep.stages[0].runs[0], sweep.stages[3].runs[-1]
    unsaved = next(run for run in sweep.stages[3].runs if run.stream.run_id == stream.run_id)
    results.forget_runs(sweep.storage, {unsaved.run_id})  # needs the snapshot again
    snapshot = snapshot_path(stream.run_id, unsaved.task)  # type: ignore[attr-defined]
    for path, end in zip((f"tables/tickets/{ticket.run_id}.parquet", snapshot), kept, strict=True):
        file = root / path
        if end is None:
            file.unlink()
        else:
            file.write_bytes(file.read_bytes()[:end])
    outcome = sweep.run()
    assert (outcome.finished, outcome.missing, outcome.lost) == (2 + 8 + 8 + 4 + 12, 0, [])
    said = capfd.readouterr().err
    assert f"damaged: tables/tickets/{ticket.run_id}.parquet: " in said
    assert f"damaged: {snapshot}: " in said
    assert_same_tables(two_seeds, root)
    assert not inspect(sweep.storage, artifacts=True).damages
    aside = {path.name for path in (root / "damaged").rglob("*.*")}
    names = {f"{ticket.run_id}.parquet", Path(snapshot).name}
    assert aside == (set() if kept == (None, None) else names)


def test_tickets_of_a_diverged_stream_are_left_out_where_it_left_no_snapshot(
    tmp_path: Path,
) -> None:
    options = {"optimizer": "sgd", "lr": 100.0, "weight_decay": 100.0, "ticket_tasks": 2}
    sweep = sweep_of(tmp_path, [0], [0.5], subnetworks="ticket", **options)
    computed_here(sweep, 0, 1, 2, 3)
    outcome = sweep.run()
    # The stream diverges on task 0, as do the tickets there; the snapshot of task 2 is missing.
    # All 4 measurements measure the snapshot of task 0.
    assert (outcome.finished, outcome.diverged, outcome.missing) == (4, 2, 1 + 2 + 2 * 3)
    assert outcome.blocked == 1 + 2 + 2 * 3, (
        "these tickets, the streams of both, and their measurements"
    )
    assert not outcome.failures
    assert not (tmp_path / "tune").exists(), "nothing was there to start"
    assert "2 diverged" in outcome.summary()


def test_any_option_can_be_searched(tmp_path: Path) -> None:
    sweep = Sweep(
        Study.checked(**TINY, ticket_tasks=1),
        Storage(tmp_path),
        {"hidden": tune.grid_search(["6", "5,5"])},
        {"task": 0, "sparsity": 0.8, "criterion": tune.grid_search(["movement", "random"])},
        {"ticket": tune.grid_search([0, 1])},
    )
    streams, _, _, tickets, ticket_streams, _ = (stage.runs for stage in sweep.stages)
    assert [run.hidden for run in streams] == [(6,), (5, 5)]
    found = [(run.hidden, getattr(run, "criterion", "")) for run in tickets]
    assert found == [(h, c) for h in ((6,), (5, 5)) for c in ("movement", "random")]
    assert len({run.run_id for run in ticket_streams}) == 2 * 2 * 2
    assert {run.parent.run_id for run in ticket_streams if run.parent} == {
        run.run_id for run in tickets
    }


@pytest.mark.parametrize(
    ("streams", "tickets", "ticket_streams", "message"),
    [
        ({"lr": tune.grid_search([0.01, -1])}, {}, {}, r"lr=-1: must be a number in \(0, 100\]"),
        ({"learning_rate": 0.1}, {}, {}, "learning_rate=0.1: unknown option"),
        ({"task": 0}, {}, {}, "task=0: must be searched in one of the spaces only"),
        (
            {"lr": 1, "zip(lr,epochs)": tune.grid_search([(1, 2)])},
            {},
            {},
            "lr.*: must be searched in",
        ),
        ({}, {"ticket": 0}, {"ticket": 1}, "ticket=1: must be searched in one of the spaces only"),
        ({}, {"lr": 0.1}, {}, "ticket_space=lr: must not hold options of a stream; search these"),
        ({}, {}, {"subnetwork": "half"}, "subnetwork=half: must be one of ticket, dense, random"),
        ({}, {}, {"ticket": 2}, "ticket=2: must be less than tickets=2"),
        ({"probe_size": 30}, {}, {}, "probe_size=30: must be an option of the study, not searched"),
        ({}, {"probe_tasks": 1}, {}, "probe_tasks=1: must be an option of the study, not searched"),
    ],
)
def test_a_wrong_search_space_is_refused_before_anything_starts(
    tmp_path: Path,
    streams: dict[str, Any],
    tickets: dict[str, Any],
    ticket_streams: dict[str, Any],
    message: str,
) -> None:
    study = Study.checked(**TINY, ticket_tasks=1)
    place = {"task": 0, "sparsity": 0.8}
    sweep = Sweep(study, Storage(tmp_path), streams, {**place, **tickets}, ticket_streams)
    with pytest.raises(OptionError, match=message):
        sweep.check()
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_asked_for_twice_is_computed_once(tmp_path: Path) -> None:
    space = {"seed": tune.grid_search([0, 0])}
    sweep = Sweep(Study.checked(**TINY), Storage(tmp_path), space, {"task": 0, "sparsity": 0.5})
    assert [len(stage.runs) for stage in sweep.stages] == [1, 1, 3, 1]


def test_tickets_wait_for_a_stream_that_ended_well(tmp_path: Path) -> None:
    """A stream that failed leaves snapshots, on whose task nothing was measured."""
    sweep = sweep_of(tmp_path, [0], [0.5], probe_tasks=0)
    streams, _, tickets = sweep.stages
    (stream,) = streams.runs
    sweep.storage.write(snapshot_path(stream.run_id, 0), b"")

    def ready(**row: str) -> tuple[tuple[int, int], list[int]]:
        """How many streams have ended well and failed, and which tasks' tickets can start."""
        own = {**results.identity_columns(stream), "kind": "stream"}
        results.write(sweep.storage, "runs", stream.run_id, [{**own, **row}])
        ended = ended_runs(sweep.storage)
        tasks = [run.task for run in tickets.ready(ended, sweep.storage)]  # type: ignore[attr-defined]
        return streams.count(ended), tasks

    assert len(tickets.to_compute({}, sweep.storage)) == 2
    assert not tickets.ready({}, sweep.storage)
    assert ready(status="failed") == ((0, 1), [])
    assert not tickets.to_compute(ended_runs(sweep.storage), sweep.storage)
    assert ready(status="diverged") == ((1, 0), [0])
    # A snapshot that the stream says it left is computed again if it is gone.
    wrote = json.dumps({snapshot_path(stream.run_id, 2): "checksum"})
    assert ready(status="diverged", files=wrote) == ((1, 0), [2])


def test_a_relative_data_root_reaches_the_trials(
    tmp_path: Path, mnist_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trials work in folders of their own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(mnist_root.resolve())
    sweep = sweep_of(
        tmp_path / "storage", [0], [0.5], dataset="mnist", data_root="data", tasks=1,
        snapshots="0", batch_size=10_000, probe_tasks=0,
    )  # fmt: skip
    sweep.check()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    computed_here(sweep, 0)
    assert results.read(tmp_path / "storage", "runs")["status"].tolist() == ["finished"]


def test_the_plan_counts_runs_and_steps(two_seeds: Path) -> None:
    """6 steps per training: 3 tasks; 2 networks on a probe task; 2 x 2 + 3 for tickets."""
    sweep = sweep_of(two_seeds, [0, 1, 2], [0.5, 0.8], **_THREE_STAGES)
    rows = [line.split() for line in sweep.plan().splitlines()]
    assert rows[1] == ["streams", "3", "2", "1", "0", "18", "18"]
    assert rows[2] == ["probes", "3", "2", "1", "0", "12", "12"]
    assert rows[3] == ["measurements", "9", "6", "3", "0", "0", "0"]
    assert rows[4] == ["tickets", "12", "8", "4", "0", "42", "168"]
    # 2 tasks; of each seed a ticket and the dense network
    assert rows[5] == ["ticket", "streams", "6", "4", "2", "0", "12", "24"]


def test_the_plan_does_not_count_failed_runs_as_finished(tmp_path: Path, two_seeds: Path) -> None:
    root = Path(shutil.copytree(two_seeds, tmp_path / "copy"))
    sweep = sweep_of(root, [0, 1], [0.5, 0.8], **_THREE_STAGES)
    failed = sweep.stages[3].runs[3]
    (row,) = results.read_run(sweep.storage, "runs", failed.run_id) or []
    results.write(sweep.storage, "runs", failed.run_id, [{**row, "status": "failed"}])
    lines = sweep.plan().splitlines()
    assert lines[1].split() == ["streams", "2", "2", "0", "0", "18", "0"]
    assert lines[4].split() == ["tickets", "8", "7", "0", "0", "42", "0"]
    assert lines[-1] == "1 runs have failed: --retry-failed computes them again."


def test_the_plan_counts_damaged_runs_as_to_run(tmp_path: Path, two_seeds: Path) -> None:
    root = Path(shutil.copytree(two_seeds, tmp_path / "copy"))
    sweep = sweep_of(root, [0, 1], [0.5, 0.8], **_THREE_STAGES)
    for run in (sweep.stages[0].runs[0], sweep.stages[3].runs[3]):
        end = root / f"tables/runs/{run.run_id}.parquet"
        end.write_bytes(end.read_bytes()[:-1])
    search = sweep.stages[3].runs[4]
    (root / f"tables/tickets/{search.run_id}.parquet").write_bytes(b"cut off")
    lines = sweep.plan().splitlines()
    assert lines[1].split() == ["streams", "2", "1", "1", "0", "18", "18"]
    assert lines[4].split() == ["tickets", "8", "6", "2", "0", "42", "84"]
    assert lines[-1] == "3 runs had ended, and are damaged: they run again."
    assert sweep.prediction() != "Nothing is left to compute."


def test_the_dense_network_is_trained_once_whatever_was_pruned(tmp_path: Path) -> None:
    options = {**_THREE_STAGES, "stream_sparsities": "0.5,0.8"}
    streams = sweep_of(tmp_path, [0, 1], [0.5, 0.8], **options).stages[4].runs
    names = [run.subnetwork for run in streams]  # type: ignore[attr-defined]
    assert {name: names.count(name) for name in names} == {"ticket": 2 * 2, "dense": 2}


def test_ticket_streams_are_of_the_snapshots_and_sparsities_asked_for(tmp_path: Path) -> None:
    asked = {"ticket_tasks": 1, "stream_snapshots": "2", "stream_sparsities": "highest"}
    sweep = sweep_of(tmp_path, [0, 1], [0.5, 0.8], **asked)
    streams = sweep.stages[4].runs
    assert {(run.task, run.sparsity) for run in streams} == {(2, 0.8)}  # type: ignore[attr-defined]
    assert len(streams) == 2 * 4
    assert len(sweep_of(tmp_path, [0, 1], [0.5, 0.8]).stages) == 4, "none unless asked for"


def test_ticket_streams_wait_for_their_tickets(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, [0], [0.5], probe_tasks=0, **_THREE_STAGES)
    streams, _, tickets, ticket_streams, _ = sweep.stages
    (stream,) = streams.runs
    search = next(run for run in tickets.runs if run.task == 2)  # type: ignore[attr-defined]

    def possible() -> tuple[list[str], list[str]]:
        ended = ended_runs(sweep.storage), sweep.storage
        runs = ticket_streams.ready(*ended), ticket_streams.to_compute(*ended)
        return tuple([run.subnetwork for run in some] for some in runs)  # type: ignore[return-value, attr-defined]

    def end(run: StreamRun, status: str) -> None:
        row = {**results.identity_columns(run), "kind": run.kind, "status": status}
        results.write(sweep.storage, "runs", run.run_id, [row])

    assert possible() == ([], ["ticket", "dense"])
    sweep.storage.write(snapshot_path(stream.run_id, 2), b"")
    end(stream, "finished")
    assert possible() == (["dense"], ["ticket", "dense"])
    end(search, "finished")
    assert possible() == (["ticket", "dense"], ["ticket", "dense"])
    end(search, "diverged")
    assert possible() == (["dense"], ["dense"])
    end(search, "failed")
    assert possible() == (["dense"], ["dense"])
    end(stream, "failed")
    assert possible() == ([], [])


def test_a_trial_without_a_gpu_uses_none_and_one_with_a_share_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray shows every GPU to trials that were granted none."""
    sweep = sweep_of(tmp_path, [0], [0.5], gpus_per_trial=0.25)
    nobody = Progress(), InterruptGuard("")
    terms = Execution(sweep.stages, sweep.storage, sweep.study, {"seed"}, "", *nobody)
    assert terms.configurations(sweep.stages[0].runs)[0]["has_gpu"]
    terms.options = Study.checked()
    assert not terms.configurations(sweep.stages[0].runs)[0]["has_gpu"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert _granted_device("auto", has_gpu=False).type == "cpu"
    assert _granted_device("auto", has_gpu=True).type == "cuda"
    assert _granted_device("cpu", has_gpu=True).type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert _granted_device("auto", has_gpu=True).type == "cpu"


def test_room_for_a_trial_is_asked_for_and_given_back() -> None:
    assert cluster_module._is_granted({"CPU": 1.0, "GPU": 0.0}, patience=60)
    assert not cluster_module._is_granted({"CPU": 99.0, "GPU": 0.0}, patience=0)


def test_trials_are_named_for_what_they_are(two_seeds: Path) -> None:
    folders = {path.name for path in (two_seeds / "tune").glob("*/tickets*")}
    label = "tickets_seed=0_permuted_pixels_task=2_sparsity=0.8_"
    assert len([name for name in folders if name.startswith(label)]) == 1


def test_the_workers_of_the_first_stage_compute_all_others(two_seeds: Path) -> None:
    reports = [path.read_text().splitlines() for path in two_seeds.glob("tune/*/*/result.json")]
    first = {json.loads(lines[0])["pid"] for lines in reports if '"stream"' in lines[0]}
    assert {json.loads(line)["pid"] for lines in reports for line in lines} == first


def test_without_ray_the_tables_are_the_same(two_seeds: Path, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    sweep = sweep_of(tmp_path, [0, 1], [0.5, 0.8], local=True, **_THREE_STAGES)
    assert sweep.run().finished == 2 + 8 + 8 + 4 + 12
    assert not (tmp_path / "tune").exists()
    assert torch.get_num_threads() == threads
    assert_same_tables(two_seeds, tmp_path)


def test_the_processes_of_workers_are_called_by_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though one worker does both searches."""

    class Telling(TicketsTrial):
        def advance(self) -> dict[str, float]:
            self.storage.write(f"titles/{self.run.run_id}", _title_of(os.getpid()))
            return super().advance()

    Telling.__name__ = TicketsTrial.__name__
    monkeypatch.setitem(TRIALS, "tickets", Telling)
    sweep = sweep_of(tmp_path, [3], [0.5], max_concurrent=1)
    computed_here(sweep, 0, 1)
    assert sweep.run().finished == 1 + 4 + 2
    for run in sweep.stages[3].runs:
        title = (tmp_path / "titles" / run.run_id).read_text().rstrip("\0")
        assert title == f"ray::{run.label}"
    assert not _title_of(os.getpid()).startswith(b"ray::"), "the driver keeps its name"
    job = ray.get_runtime_context().get_job_id()
    actors = ray._private.state.actors(job_id=ray.JobID.from_hex(job)).values()
    assert "AnyTrial" in {actor["ActorClassName"] for actor in actors}


def _title_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_tensorboard_shows_curves_and_compares_runs_of_all_kinds(two_seeds: Path) -> None:
    tasks, snapshots = results.read(two_seeds, "tasks"), results.read(two_seeds, "snapshots")
    with TensorBoardServer(two_seeds / "tune") as board:
        along = 2 * 2  # a stream's searches at one sparsity, together
        tags = board.tags(runs=2 + 8 + 8 + 4 + 12 + along)
        for name in tags:
            if "/stream_" in name and "_sparsity=" in name:
                along -= 1
                own = snapshots[[f"/stream_seed={seed}_" in name for seed in snapshots["seed"]]]
                own = own[[f"_sparsity={s:g}_" in name for s in own["sparsity"]]]
                counts = own.sort_values("task").set_index("task")["ticket_count"].to_dict()
                curve = board.scalars(name, "answer/ticket_count")
                assert list(curve) == list(counts) == [0, 2]
                assert curve == pytest.approx(counts)
                continue
            run_id = name.rpartition("_")[2]
            own = tasks[tasks["run_id"] == run_id].sort_values("task")
            kind = name.split("/")[1].partition("_seed")[0]
            if kind.endswith("measurement"):
                shown = {
                    "weights": "weight_norm", "structure": "effective_rank",
                    "dormant": "dormant_fraction",
                }  # fmt: skip
                (metric,) = (shown[what] for what in shown if f"_{what}_" in name)
                places = [0, 2] if kind == "measurement" else [0]
                assert list(board.scalars(name, f"{kind}/{metric}")) == places
                continue
            if kind == "probes":
                assert list(board.scalars(name, "probes/probe_online_gap")) == [0, 2]
                continue
            if kind != "tickets":
                for measure in ("test_accuracy", "test_loss"):
                    curve = board.scalars(name, f"{kind}/{measure}")
                    assert curve == pytest.approx(dict(enumerate(own[measure])))
                continue
            # dense training, a round with its overlap, controls
            assert list(board.scalars(name, "tickets/dense_accuracy")) == [0]
            (row,) = snapshots[snapshots["run_id"] == run_id].to_dict("records")
            assert board.scalars(name, "tickets/overlap_mean") == pytest.approx(
                {1: row["overlap_mean"]}
            )
            assert board.scalars(name, "answer/overlap_mean") == pytest.approx(
                {row["task"]: row["overlap_mean"]}
            )
        assert along == 0
        compared = board.hparams()
    assert len(compared) == 2 + 8 + 8 + 4 + 12
    # TensorBoard begins with the first five: runs that have them are what it shows
    names = sorted({name for _, measures in compared for name in measures})[:5]
    with_these = [options["kind"] for options, own in compared if set(names) <= own.keys()]
    assert with_these == ["tickets"] * 8
    found = {
        (options["seed"], options["task"], options["sparsity"]): measures["answer/ticket_count"]
        for options, measures in compared
        if options["kind"] == "tickets"
    }
    expected = snapshots.set_index(["seed", "task", "sparsity"])["ticket_count"].to_dict()
    assert found == pytest.approx(expected)


def test_doses_stand_beside_one_control(tmp_path: Path) -> None:
    """Searched over, an intervention's parameter multiplies only the runs that use it."""
    searched = {"interventions": "none,l2_init", "search": "l2_strength=1e-4,1e-3"}
    sweep = sweep_of(tmp_path, [0, 1, 2], [0.5], **searched)
    assert [len(stage.runs) for stage in sweep.stages] == [9, 9, 27, 18]  # 3 seeds, once and twice
    assert sweep.plan().splitlines()[1].split()[:4] == ["streams", "9", "0", "9"]
    outcome = sweep.run()
    assert (outcome.finished, outcome.missing) == (9 + 36 + 18, 0)
    assert not outcome.failures
    runs = results.read(tmp_path, "runs")
    assert len(runs[(runs["kind"] == "stream") & (runs["intervention"] == "none")]) == 3
    assert runs.loc[runs["intervention"] == "none", "l2_strength"].isna().all()
    strengths = runs.loc[runs["intervention"] == "l2_init", "l2_strength"]
    assert strengths.value_counts().to_dict() == {1e-4: 3 * 7, 1e-3: 3 * 7}
    table = correlation.table(Storage(tmp_path))
    labels = {"none", "l2_init(1e-4)", "l2_init(1e-3)"}
    assert set(table["intervention"]) == labels
    assert table["protocol"].nunique() == 1
    answer = correlation.answer(Storage(tmp_path))
    assert all(f"intervention={label}" in answer for label in labels)


def test_a_stream_that_this_machine_does_not_reproduce_is_named_and_left_as_it_was(
    tmp_path: Path,
) -> None:
    sweep = sweep_of(tmp_path / "here", [0], [0.5])
    computed_here(sweep, 0, 1, 2, 3)
    (stream,) = sweep.stages[0].runs
    change_row(sweep.storage, stream.run_id, 0)
    shutil.copytree(tmp_path / "here", tmp_path / "before")
    wider = sweep_of(tmp_path / "here", [0], [0.5], snapshots="0,1,2")
    told = wider.run().summary().splitlines()
    # the stream, its probe tasks and three measurements, and a search that need its new snapshot
    grow = "5 still to grow (what they have found stays)"
    assert told[0] == f"2 runs finished, {grow}, 1 missing"
    (given_up,) = (line for line in told if "given up" in line)
    assert given_up.startswith(f"  given up: {stream.label}: trained again on task 0, it does not")
    assert "other numbers than those of its rows (another, fast)" in given_up
    assert_same_tables(tmp_path / "before", tmp_path / "here")
    assert ended_runs(sweep.storage)[stream.run_id].extent == {"tasks": 3, "snapshots": [0, 2]}
    assert inspect(sweep.storage, artifacts=True).damages == []
    assert sweep.finished(), "what was asked for first is there"


@pytest.mark.slow  # faster: the study that is widened in test_growth.py
def test_a_sweep_that_was_widened_equals_one_that_was_asked_for_at_once(tmp_path: Path) -> None:
    """Tune runs the widening only: another test here shows that it changes no result."""
    computed_here(sweep_of(tmp_path / "widened", [0], [0.5]), 0, 1, 2, 3)
    wider = {"tasks": 4, "snapshots": "0,1,2,3", "tickets": 3, "reinit_tickets": 1}
    once = sweep_of(tmp_path / "once", [0], [0.5], **wider)
    computed_here(once, 0, 1, 2, 3)
    assert once.finished()
    assert sweep_of(tmp_path / "widened", [0], [0.5], **wider).run().missing == 0
    assert_same_tables(tmp_path / "once", tmp_path / "widened")
    assert inspect(Storage(tmp_path / "widened"), artifacts=True).damages == []
