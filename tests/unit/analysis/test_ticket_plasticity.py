"""Tickets that go on learning, beside what they are compared with: numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from raylot import results
from raylot.analysis import command, ticket_plasticity
from raylot.analysis.ticket_plasticity import compare, paired_tasks
from raylot.config import Study
from raylot.storage import Storage
from tests.unit.analysis.studies import finish, read_analysis, write_rows, write_ticket_stream

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")

#: (subnetwork, seed, snapshot, new task 1, 2, ...) -> test accuracy
Accuracy = Callable[[str, int, int, int], float]
SUBNETWORKS = ("ticket", "dense", "random", "reinit")


def write(
    root: Path,
    accuracy: Accuracy,
    *,
    seeds: int = 3,
    snapshots: tuple[int, ...] = (0, 10),
    subnetworks: tuple[str, ...] = SUBNETWORKS,
    new_tasks: int = 3,
    **options: Any,
) -> Path:
    """Learning speed is half the accuracy; the stream itself is 0.3 everywhere."""
    study = Study.checked(tasks=21, snapshots="0,10,20", ticket_tasks=3, **options)
    for seed in range(seeds):
        stream = study.stream_run(shift="permuted_pixels", seed=seed)
        learned = {"subnetwork": "dense", "test_accuracy": 0.3, "learning_speed": 0.15}
        write_rows(root, "tasks", stream, [{**learned, "task": task} for task in range(21)])
        finish(root, stream)
        for snapshot in snapshots:
            for subnetwork in subnetworks:
                new = range(1, new_tasks + 1)
                write_ticket_stream(
                    root, study, [accuracy(subnetwork, seed, snapshot, n) for n in new],
                    seed=seed, task=snapshot, subnetwork=subnetwork,
                )  # fmt: skip
    return root


def compared(root: Path) -> pd.DataFrame:
    pairs = paired_tasks(results.read(root, "tasks"), results.read(root, "runs"))
    rows = compare(pairs)
    return rows.set_index(["other", "measure", "snapshot"])


def answer(root: Path) -> str:
    pairs = paired_tasks(results.read(root, "tasks"), results.read(root, "runs"))
    return ticket_plasticity.answer(compare(pairs))


def run(root: Path, *arguments: str) -> int:
    return command.run(lambda: ticket_plasticity.main([str(root), *arguments]))


def by_hand(subnetwork: str, seed: int, snapshot: int, new: int) -> float:
    """The ticket loses 0.01 a task, the dense network 0.03, and starts 0.1 to 0.3 lower; at
    snapshot 10 half as much lower."""
    if subnetwork == "ticket":
        return 0.91 - 0.01 * new
    lower = 0.1 * (seed + 1) / (2 if snapshot else 1)
    return {"dense": 0.93 - 0.03 * new - lower, "random": 0.91, "reinit": 0.89 - 0.01 * new}[
        subnetwork
    ]


def test_differences_by_hand(tmp_path: Path) -> None:
    """Mean accuracies over tasks 1-3: 0.89 and 0.87 - lower; so 0.02 + 0.1, 0.2, 0.3."""
    rows = compared(write(tmp_path, by_hand))
    first = rows.loc[("dense", "test_accuracy", 0)]
    assert (first.ticket, first.compared) == pytest.approx((0.89, 0.67))
    assert first.difference == pytest.approx(0.22)
    half = 4.302653 * 0.1 / np.sqrt(3)
    assert (first.low, first.high) == pytest.approx((0.22 - half, 0.22 + half))
    assert (first.seeds, first.tasks) == (3, 3)
    slope = rows.loc[("dense", "accuracy_slope", 10)]
    assert (slope.ticket, slope.compared, slope.difference) == pytest.approx((-0.01, -0.03, 0.02))
    change = rows.loc[("dense", "accuracy_change", 10)]
    assert (change.ticket, change.compared, change.difference) == pytest.approx(
        (-0.02, -0.06, 0.04)
    )
    assert rows.loc[("dense", "learning_speed", 0)].difference == pytest.approx(0.11)
    assert rows.loc[("random", "test_accuracy", 0)].difference == pytest.approx(-0.02)
    assert rows.loc[("reinit", "accuracy_slope", 0)].difference == pytest.approx(0)


def test_mean_over_snapshots_is_taken_within_seeds(tmp_path: Path) -> None:
    """0.12 and 0.07, 0.22 and 0.12, 0.32 and 0.17: means 0.095, 0.17, 0.245, so s = 0.075."""
    rows = compared(write(tmp_path, by_hand)).reset_index()
    mean = (
        rows[rows["snapshot"].isna()]
        .set_index(["other", "measure"])
        .loc[("dense", "test_accuracy")]
    )
    assert mean.difference == pytest.approx(0.17)
    assert mean.high == pytest.approx(0.17 + 4.302653 * 0.075 / np.sqrt(3))
    assert mean.seeds == 3


def test_one_snapshot_needs_no_mean(tmp_path: Path) -> None:
    rows = compared(write(tmp_path, by_hand, snapshots=(10,))).reset_index()
    assert set(rows["snapshot"]) == {10}


def test_only_tasks_and_seeds_of_both_count(tmp_path: Path) -> None:
    write(tmp_path, by_hand, snapshots=(0,))
    write(tmp_path, by_hand, snapshots=(0,), subnetworks=("dense",), seeds=2, new_tasks=2)
    rows = compared(tmp_path)
    accuracy = rows.loc[("dense", "test_accuracy", 0)]
    # seeds 0 and 1 over two tasks: 0.895 - (0.885 - 0.1 or 0.2), seed 2 over three: 0.02 + 0.3
    assert accuracy.difference == pytest.approx((0.11 + 0.21 + 0.32) / 3)
    assert rows.loc[("random", "test_accuracy", 0)].difference == pytest.approx(-0.02)


def test_several_tickets_are_one_observation(tmp_path: Path) -> None:
    write(tmp_path, by_hand, seeds=1, snapshots=(0,))
    study = Study.checked(tasks=21, snapshots="0,10,20", ticket_tasks=3)
    write_ticket_stream(tmp_path, study, [0.95] * 3, seed=0, task=0, ticket=1)
    accuracy = compared(tmp_path).loc[("reinit", "test_accuracy", 0)]
    assert accuracy.ticket == pytest.approx((0.89 + 0.95) / 2)
    assert accuracy.seeds == 1


def test_the_stream_stands_in_for_a_missing_dense_network(tmp_path: Path) -> None:
    write(tmp_path, by_hand, subnetworks=("ticket",))
    rows = compared(tmp_path)
    accuracy = rows.loc[("dense", "test_accuracy", 10)]
    assert (accuracy.compared, accuracy.difference) == pytest.approx((0.3, 0.59))
    assert "stands for its network" in answer(tmp_path)
    write(tmp_path, by_hand, subnetworks=("dense",))
    assert compared(tmp_path).loc[("dense", "test_accuracy", 10)].compared == pytest.approx(0.77)
    assert "stands for" not in answer(tmp_path)


def test_unfinished_runs_wait(tmp_path: Path) -> None:
    write(tmp_path, by_hand)
    runs = results.read(tmp_path, "runs")
    for run_id in runs[(runs["seed"] == 2) & (runs["kind"] == "ticket_stream")]["run_id"]:
        results.forget_runs(Storage(tmp_path), {run_id})
    assert set(compared(tmp_path)["seeds"]) == {2}


# ------------------------------------------------------------------ in words


def noisy(advantage: float, spread: float) -> Accuracy:
    """A ticket better by ``advantage``, give or take."""

    def accuracy(subnetwork: str, seed: int, snapshot: int, new: int) -> float:
        is_ticket = subnetwork == "ticket"
        noise = spread * np.random.default_rng([seed, snapshot, new, is_ticket]).normal()
        return 0.8 + advantage * is_ticket + noise

    return accuracy


def test_more_plastic(tmp_path: Path) -> None:
    text = answer(write(tmp_path, noisy(0.05, 0.002), seeds=5))
    assert text.startswith("permuted_pixels at sparsity 0.8, over 3 new tasks, mean over 2 snap")
    assert "the ticket against its network: more plastic by test accuracy (+0.05" in text
    assert "and learning speed (+0.02" in text
    assert "open by accuracy kept per task" in text
    assert "less plastic" not in text
    assert "too few" not in text


def test_less_plastic_and_mixed(tmp_path: Path) -> None:
    def falls(subnetwork: str, seed: int, snapshot: int, new: int) -> float:
        is_ticket = subnetwork == "ticket"
        return 0.9 + is_ticket * (0.05 - 0.01 * new) + seed / 100 * is_ticket * (2 - new) / 50

    text = answer(write(tmp_path, falls, snapshots=(0,)))
    assert "the ticket against its network: more plastic by test accuracy (+0.03" in text
    assert "less plastic by accuracy kept per task (-0.0" in text


def test_rounding_errors_are_no_finding(tmp_path: Path) -> None:
    """Ticket and re-initialised ticket fall alike, 0.01 a task."""
    text = answer(write(tmp_path, by_hand, subnetworks=("ticket", "reinit")))
    assert "open by accuracy kept per task (+0.0000 [+0.0000, +" in text


def test_open(tmp_path: Path) -> None:
    text = answer(write(tmp_path, noisy(0, 0.02), seeds=5, snapshots=(0,)))
    assert "the ticket against its network: open by test accuracy" in text
    assert "plastic by" not in text


@pytest.mark.parametrize(("seeds", "words"), [(1, "1 seed"), (2, "2 seeds")])
def test_too_few_seeds_claim_nothing(tmp_path: Path, seeds: int, words: str) -> None:
    text = answer(
        write(
            tmp_path, lambda sub, *_: 0.9 if sub == "ticket" else 0.5, seeds=seeds, snapshots=(0,)
        )
    )
    assert "plastic by" not in text
    assert f"This rests on {words}, too few to tell a finding from chance" in text


# ------------------------------------------------------------------ the script


def test_what_is_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, by_hand)
    write(tmp_path, by_hand, lr=0.01)
    assert run(tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[:-2])) <= 80
    text = "\n".join(lines)
    assert "lr=0.001" in text
    assert "lr=0.01" in text
    assert "+0.220" in text
    table = read_analysis(tmp_path, "ticket_plasticity")
    assert list(table) == list(ticket_plasticity.COLUMNS)
    # 2 protocols, 3 comparisons, 4 measures, 2 snapshots and their mean
    assert len(table) == 2 * 3 * 4 * 3
    assert table["protocol"].nunique() == 2
    assert set(table["seeds"]) == {3}


@pytest.mark.filterwarnings("error")
def test_one_seed_one_snapshot_one_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, by_hand, seeds=1, snapshots=(10,), new_tasks=1)
    assert run(tmp_path) == 0
    printed = capsys.readouterr().out
    assert "snapshot 10" in printed
    assert "nan" not in printed.lower()


@pytest.mark.parametrize(
    ("subnetworks", "told"),
    [
        (None, "must be the folder or URI of a raylot storage"),
        (("dense",), "must hold tickets that were trained on further tasks"),
    ],
)
def test_nothing_there_is_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    subnetworks: tuple[str, ...] | None,
    told: str,
) -> None:
    if subnetworks is not None:
        write(tmp_path, by_hand, subnetworks=subnetworks)
    assert run(tmp_path) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: STORAGE={tmp_path}: {told}")
    assert captured.err.count("\n") == 1
