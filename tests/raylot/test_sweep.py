"""Sweeps on a real Ray cluster: what is computed, what is skipped, what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import tune

from raylot import results
from raylot.config import Study
from raylot.options import OptionError
from raylot.storage import Storage
from raylot.sweep import Sweep, resolve
from raylot.trials.stream import snapshot_path
from tests.raylot.tables import assert_same_tables, read_sorted

_TINY = {
    "hidden": "6", "tasks": 3, "snapshots": "0,2", "epochs": 1, "batch_size": 256, "lr": 0.01,
    "tickets": 2, "rounds": 1, "probe_size": 20, "save_interval": 0,
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """One Ray for all tests here: a sweep uses a session that is open already."""
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def _sweep(root: Path, seeds: list[int], sparsities: list[float], **options: Any) -> Sweep:
    study = Study.checked(**{**_TINY, **options})
    return Sweep(
        study,
        Storage(root),
        {"seed": tune.grid_search(seeds), "shift": "permuted_pixels"},
        {
            "task": tune.grid_search(list(study.snapshots)),
            "sparsity": tune.grid_search(sparsities),
        },
    )


def _written(root: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in (root / "tables").rglob("*.parquet")}


@pytest.fixture(scope="module")
def two_seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with a finished sweep over two seeds and two sparsities."""
    root = tmp_path_factory.mktemp("two_seeds")
    outcome = _sweep(root, [0, 1], [0.5, 0.8]).run()
    assert (outcome.finished, outcome.missing, outcome.interrupted) == (2 + 8, 0, False)
    assert not outcome.failures
    return root


def test_a_widened_search_space_computes_only_what_is_new(tmp_path: Path, two_seeds: Path) -> None:
    first = _sweep(tmp_path, [0], [0.5])
    assert first.run().finished == 1 + 2
    before = _written(tmp_path)
    again = _sweep(tmp_path, [0, 1], [0.5, 0.8])
    assert [len(stage.missing(again.storage)) for stage in again.stages] == [1, 6]
    assert again.run().finished == 2 + 8
    after = _written(tmp_path)
    assert {path: after[path] for path in before} == before
    assert_same_tables(two_seeds, tmp_path)


def test_a_finished_sweep_starts_nothing(two_seeds: Path) -> None:
    before = _written(two_seeds)
    experiments = list((two_seeds / "tune").iterdir())
    assert _sweep(two_seeds, [0, 1], [0.5, 0.8]).run().finished == 10
    assert _written(two_seeds) == before
    assert list((two_seeds / "tune").iterdir()) == experiments


def test_concurrency_does_not_change_results(tmp_path: Path, two_seeds: Path) -> None:
    _sweep(tmp_path, [1, 0], [0.8, 0.5], max_concurrent=1).run()
    assert_same_tables(two_seeds, tmp_path)


def test_a_failed_run_is_recorded_the_rest_goes_on_and_it_can_be_retried(tmp_path: Path) -> None:
    sweep = _sweep(tmp_path, [0], [0.5])
    (stream,) = sweep.stages[0].runs
    only_stream = Sweep(
        sweep.study, sweep.storage, sweep.stream_space, {"task": 0, "sparsity": 0.5}
    )
    only_stream.run()
    good = sweep.storage.read(snapshot_path(stream.run_id, 2))
    assert good
    sweep.storage.write(snapshot_path(stream.run_id, 2), b"damaged")
    outcome = sweep.run()
    assert (outcome.finished, outcome.missing, outcome.interrupted) == (2, 0, False)
    assert [f.split(" (")[0] for f in outcome.failures] == [
        "tickets seed=0 permuted_pixels task=2 sparsity=0.5"
    ]
    assert "failed: tickets seed=0" in outcome.summary()

    sweep.storage.write(snapshot_path(stream.run_id, 2), good)
    assert sweep.run().failures, "a failed run is not tried again unasked"
    assert sweep.forget_failed() == 1
    assert sweep.run().finished == 3


def test_tickets_of_a_diverged_stream_are_left_out_where_it_left_no_snapshot(
    tmp_path: Path,
) -> None:
    options = {"optimizer": "sgd", "lr": 100.0, "weight_decay": 100.0}
    outcome = _sweep(tmp_path, [0], [0.5], **options).run()
    # the stream diverges on task 0, as do the tickets there; the snapshot of task 2 is missing
    assert (outcome.finished, outcome.diverged, outcome.missing) == (0, 2, 1)
    assert outcome.blocked == 1
    assert not outcome.failures
    experiments = list((tmp_path / "tune").iterdir())
    again = _sweep(tmp_path, [0], [0.5], **options)
    assert again.run().blocked == 1
    assert list((tmp_path / "tune").iterdir()) == experiments, "nothing was there to start"
    assert "2 diverged" in outcome.summary()


def test_a_space_resolves_the_same_way_each_time() -> None:
    space = {
        "seed": tune.grid_search([0, 1]),
        "lr": tune.loguniform(1e-4, 1e-1),
        "epochs": tune.choice([1, 2, 3]),
        "shift": "stationary",
    }
    points = resolve(space, samples=3)
    assert points == resolve(space, samples=3)
    assert [point["seed"] for point in points] == [0, 1] * 3
    assert len({point["lr"] for point in points}) == 6
    assert points != resolve(space, samples=3, seed=1)


def test_any_option_can_be_searched(tmp_path: Path) -> None:
    study = Study.checked(**_TINY)
    space = {"lr": tune.grid_search([0.01, 0.02]), "hidden": tune.grid_search(["6", "5,5"])}
    sweep = Sweep(study, Storage(tmp_path), space, {"task": 0, "sparsity": 0.5})
    assert sweep.run().finished == 8
    runs = results.read(tmp_path, "runs")
    assert set(runs["hidden"]) == {"6", "5,5"}
    assert runs.groupby("kind")["protocol"].nunique().to_dict() == {"stream": 4, "tickets": 4}


def test_a_wrong_search_space_is_refused_before_anything_starts(tmp_path: Path) -> None:
    study = Study.checked(**_TINY)
    for space, message in (
        ({"lr": tune.grid_search([0.01, -1])}, r"lr=-1: must be a number in \(0, 100\]"),
        ({"learning_rate": 0.1}, "learning_rate=0.1: unknown option"),
        ({"task": 0}, "task=0: must be searched in one of the two spaces only"),
    ):
        sweep = Sweep(study, Storage(tmp_path), space, {"task": 0, "sparsity": 0.5})
        with pytest.raises(OptionError, match=message):
            sweep.check()
    assert not list(tmp_path.iterdir())


def test_a_streams_option_in_the_space_of_tickets_is_refused(tmp_path: Path) -> None:
    space = {"task": 0, "sparsity": 0.5, "lr": tune.grid_search([0.01, 0.02])}
    sweep = Sweep(Study.checked(**_TINY), Storage(tmp_path), {"seed": 0}, space)
    with pytest.raises(OptionError, match="ticket_space=lr: must not hold options of a stream"):
        sweep.check()


def test_a_run_that_is_drawn_twice_is_computed_once(tmp_path: Path) -> None:
    space = {"seed": tune.choice([0])}
    sweep = Sweep(
        Study.checked(**_TINY), Storage(tmp_path), space, {"task": 0, "sparsity": 0.5}, samples=3
    )
    assert [len(stage.runs) for stage in sweep.stages] == [1, 1]


def test_tickets_wait_for_a_stream_that_ended_well(tmp_path: Path) -> None:
    """A stream that failed leaves snapshots, on whose task nothing was measured."""
    sweep = _sweep(tmp_path, [0], [0.5])
    streams, tickets = sweep.stages
    (stream,) = streams.runs
    sweep.storage.write(snapshot_path(stream.run_id, 0), b"")
    assert len(tickets.to_compute(sweep.storage)) == 2
    assert not tickets.ready(sweep.storage)
    row = {**results.identity_columns(stream), "kind": "stream", "status": "failed"}
    results.write(sweep.storage, "runs", stream.run_id, [row])
    assert not tickets.to_compute(sweep.storage)
    results.write(sweep.storage, "runs", stream.run_id, [{**row, "status": "diverged"}])
    assert [run.task for run in tickets.ready(sweep.storage) if hasattr(run, "task")] == [0]


def test_a_relative_data_root_reaches_the_trials(
    tmp_path: Path, mnist_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trials work in folders of their own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(mnist_root.resolve())
    sweep = _sweep(
        tmp_path / "storage", [0], [0.5], dataset="mnist", data_root="data", tasks=1,
        snapshots="0", batch_size=10_000, trainability_gap=False,
    )  # fmt: skip
    outcome = sweep.run()
    assert outcome.finished == 2, outcome.summary()


def test_what_the_cluster_can_never_grant_is_refused(tmp_path: Path) -> None:
    for option, message in (
        ({"cpus_per_trial": 64}, r"cpus_per_trial=64: must be at most 2, the most CPUs"),
        ({"gpus_per_trial": 64}, r"gpus_per_trial=64: must be at most \d+, the most GPUs"),
    ):
        with pytest.raises(OptionError, match=message):
            _sweep(tmp_path, [0], [0.5], **option).run()


def test_the_plan_counts_runs_and_steps(tmp_path: Path, two_seeds: Path) -> None:
    """6 steps per training; a stream trains 3 tasks and 2 fresh networks, tickets 2 x 2 + 2."""
    rows = [line.split() for line in _sweep(two_seeds, [0, 1, 2], [0.5, 0.8]).plan().splitlines()]
    assert rows[1] == ["streams", "3", "2", "1", "30", "30"]
    assert rows[2] == ["tickets", "12", "8", "4", "36", "144"]
    assert not list(tmp_path.iterdir())


def test_trials_are_named_for_what_they_are(two_seeds: Path) -> None:
    folders = {path.name for path in (two_seeds / "tune").glob("*/tickets*")}
    label = "tickets_seed=0_permuted_pixels_task=2_sparsity=0.8_"
    assert len([name for name in folders if name.startswith(label)]) == 1


def test_tensorboard_finds_curves(two_seeds: Path) -> None:
    assert list((two_seeds / "tune").glob("*/stream_seed=0*/events.out.tfevents.*"))


def test_identity_columns_begin_every_table(two_seeds: Path) -> None:
    for table in results.SCHEMAS:
        frame = read_sorted(two_seeds, table)
        assert set(frame["seed"]) == {0, 1}
        assert set(frame["dataset"]) == {"digits"}
        assert frame["run_id"].str.fullmatch("[0-9a-f]{12}").all()
