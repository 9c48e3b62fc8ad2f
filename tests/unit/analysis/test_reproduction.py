"""The original study's published numbers beside those of small storages, worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from raylot import results
from raylot.analysis import command, reproduction
from raylot.analysis.statistics.spread import (
    correlation_interval,
    neighbours_interval,
    prediction_interval,
)
from raylot.analysis.tables.original import original_rows
from raylot.analysis.tables.published import (
    ACCURACY,
    OVERLAP,
    PAIRED,
    RANDOM_MASKS,
    SHIFTED,
    TICKETS,
)
from raylot.config import PRESETS, Study
from raylot.storage import Storage
from tests.unit.analysis.studies import finish, read_analysis, write_rows

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")

#: t(0.975, n - 1) * sqrt(1 + 1/n) for n = 3
FACTOR_OF_THREE = 4.302653 * np.sqrt(4 / 3)
SNAPSHOTS = (0, 3, 6, 9)


def original(**options: Any) -> Study:
    """The original's protocol on a short stream."""
    snapshots = ",".join(map(str, SNAPSHOTS))
    return Study.checked(**{**PRESETS["original"], "tasks": 12, "snapshots": snapshots, **options})


def write_stream(
    root: Path,
    accuracy: Callable[[int], float],
    *,
    seed: int = 0,
    finished: bool = True,
    **options: Any,
) -> None:
    run = original(**options).stream_run(shift=options.get("shifts", "permuted_pixels"), seed=seed)
    rows = [
        {"task": task, "subnetwork": "dense", "test_accuracy": accuracy(task)}
        for task in range(run.tasks)
    ]
    write_rows(root, "tasks", run, rows)
    if finished:
        finish(root, run)


def write_search(
    root: Path,
    task: int,
    sparsity: float,
    *,
    tickets: Iterable[float] = (),
    masks: Iterable[float] = (),
    jaccards: Iterable[float] = (),
    seed: int = 0,
    **options: Any,
) -> None:
    """``jaccards`` are those of the pairs 0-1, 0-2, 1-2 of three tickets."""
    study = original(**options)
    run = study.tickets_run(shift="permuted_pixels", seed=seed, task=task, sparsity=sparsity)
    place = {"task": task, "sparsity": sparsity}
    rounds = run.rounds or 0
    trained = [
        {**place, "control": control, "ticket": i, "round": at,
         "test_accuracy": value - (rounds - at) / 2}
        for control, values in (("ticket", tickets), ("random", masks))
        for i, value in enumerate(values)
        for at in (rounds - 1, rounds)  # earlier rounds must not count
    ]  # fmt: skip
    pairs = [
        {**place, "layer": layer, "ticket_a": a, "ticket_b": b, "jaccard": value + shown}
        for (a, b), value in zip(combinations(range(3), 2), jaccards, strict=False)
        for layer, shown in (("all", 0.0), ("0", 0.5))
    ]
    write_rows(root, "tickets", run, trained)
    write_rows(root, "overlaps", run, pairs)
    finish(root, run)


def found(root: Path) -> Mapping[tuple[str, Any], Any]:
    """(quantity, task, or sparsity along the stream) -> row."""
    rows = reproduction.reproduce(original_rows(Storage(root)))
    return {
        (row["quantity"], row["sparsity"] if pd.isna(row["task"]) else row["task"]): row
        for row in rows.to_dict("records")
    }


def run(root: Path, *arguments: str) -> int:
    return command.run(lambda: reproduction.main([str(root), *arguments]))


# ------------------------------------------------------------------ ranges


def test_prediction_interval_by_hand() -> None:
    """1, 2, 3: mean 2, s = 1; of the pairs of two tickets, t(0.975, 1) = 12.7062 counts."""
    assert prediction_interval([1, 2, 3]) == pytest.approx(
        (2 - FACTOR_OF_THREE, 2 + FACTOR_OF_THREE)
    )
    half = 12.7062 * np.sqrt(3 / 2)
    assert prediction_interval([1, 2, 3], independent=2) == pytest.approx((2 - half, 2 + half))
    narrow = prediction_interval([1, 2, 3], confidence=0.9)  # t(0.95, 2) = 2.919986
    assert narrow == pytest.approx((2 - 2.919986 * np.sqrt(4 / 3), 2 + 2.919986 * np.sqrt(4 / 3)))
    assert prediction_interval([1]) is None


def test_neighbours_by_hand() -> None:
    """Tasks 1-10 go up and down by 0.02: 5 disjoint pairs, t(0.975, 5) = 2.570582."""
    accuracies = pd.Series([5.0, *(0.9 + 0.02 * (task % 2) for task in range(1, 11))])
    half = 2.570582 * 0.02
    assert neighbours_interval(accuracies, 4) == pytest.approx((0.9 - half, 0.9 + half))
    assert neighbours_interval(accuracies, 0) == pytest.approx((5 - half, 5 + half))
    assert neighbours_interval(accuracies.loc[:6], 4) is not None
    assert neighbours_interval(accuracies.loc[:5], 4) is None


def test_range_of_a_correlation_by_hand() -> None:
    """Of 11 snapshots: tanh(atanh(-0.7) -+ 1.959964 sqrt(2 / 8)) = tanh(-0.867301 -+ 0.979982)."""
    assert correlation_interval(-0.7, 11) == pytest.approx((-0.951489, 0.112206), abs=1e-5)
    assert correlation_interval(-0.7, 4) is not None
    assert correlation_interval(-0.7, 3) is None
    assert correlation_interval(-1.0, 11) is None


def test_nine_of_ten_second_runs_lie_in_the_range_of_the_first() -> None:
    """Pairs of runs with 11 independent snapshots, whatever the true correlation."""
    generator = np.random.default_rng(0)
    for true in (0.0, -0.77):
        draws = generator.multivariate_normal([0, 0], [[1, true], [true, 1]], size=(4000, 11))
        centred = draws - draws.mean(1, keepdims=True)
        scale = np.sqrt((centred**2).sum(1)).prod(1)
        correlations = (centred[..., 0] * centred[..., 1]).sum(1) / scale
        first, second = correlations[:2000], correlations[2000:]
        ranges = [correlation_interval(one, 11, confidence=0.9) for one in first]
        inside = [low <= other <= high for (low, high), other in zip(ranges, second, strict=True)]  # type: ignore[misc]
        assert np.mean(inside) == pytest.approx(0.9, abs=0.025)


# ------------------------------------------------------------------ comparison


def test_one_run(tmp_path: Path) -> None:
    write_stream(tmp_path, lambda task: 0.952 if task == 0 else 0.9 + 0.002 * (task % 2))
    write_search(tmp_path, 0, 0.8, tickets=(0.5, 0.6), jaccards=(0.26, 0.27, 0.28))
    write_search(tmp_path, 0, 0.95, tickets=(0.96, 0.961, 0.962), masks=(0.9, 0.91, 0.92))
    rows = found(tmp_path)

    first = rows[ACCURACY, 0]
    assert (first["here"], first["difference"]) == pytest.approx((0.952, 0))
    assert (first["range_over"], first["seeds"], first["within"]) == ("neighbours", 1, True)
    assert first["high"] == pytest.approx(0.952 + 2.570582 * 0.002)
    assert not rows[ACCURACY, 1]["within"]
    assert rows[ACCURACY, 50]["note"] == "not run yet"
    assert pd.isna(rows[ACCURACY, 50]["within"])

    overlap = rows[OVERLAP, 0]
    assert (overlap["here"], overlap["difference"]) == pytest.approx((0.27, 0.27 - 0.261))
    assert overlap["high"] == pytest.approx(0.27 + 0.01 * FACTOR_OF_THREE)
    assert (overlap["least"], overlap["most"]) == (0.26, 0.28)
    assert (overlap["observations"], overlap["observed"], overlap["within"]) == (3, "pair", True)

    tickets = rows[TICKETS, 0]
    assert tickets["here"] == pytest.approx(0.961)
    assert tickets["low"] == pytest.approx(0.961 - 0.001 * FACTOR_OF_THREE)
    assert tickets["within"]
    assert rows[RANDOM_MASKS, 0]["here"] == pytest.approx(0.91)


def test_several_seeds_each_count_once(tmp_path: Path) -> None:
    """Seeds' means are 0.26, 0.27, 0.28, though the first has three times as many pairs."""
    jaccards = ((0.25, 0.26, 0.27), (0.27,), (0.28,))
    for seed, own in enumerate(jaccards):
        write_stream(tmp_path, lambda task, seed=seed: 0.95 + seed / 1000, seed=seed)  # type: ignore[misc]
        write_search(tmp_path, 0, 0.8, jaccards=own, seed=seed)
    rows = found(tmp_path)
    overlap, accuracy = rows[OVERLAP, 0], rows[ACCURACY, 0]
    assert overlap["here"] == pytest.approx(0.27)
    assert overlap["high"] == pytest.approx(0.27 + 0.01 * FACTOR_OF_THREE)
    assert (overlap["least"], overlap["most"], overlap["seeds"]) == (0.26, 0.28, 3)
    assert accuracy["low"] == pytest.approx(0.951 - 0.001 * FACTOR_OF_THREE)
    assert (accuracy["range_over"], accuracy["within"]) == ("seeds", True)
    assert not rows[ACCURACY, 4]["within"]


def test_correlations_by_hand(tmp_path: Path) -> None:
    """Sound pairing: a falling line, -1. Off by one: 0, 1, -1 against -1, 0, 1, so -1 / 2."""
    previous = {2: 0.5, 5: 0.6, 8: 0.4}
    write_stream(tmp_path, lambda task: previous.get(task, 0.9 - task / 100))
    for task in SNAPSHOTS:
        write_search(tmp_path, task, 0.9, jaccards=[0.1 + task / 30] * 3)
    rows = found(tmp_path)
    sound, off_by_one = rows[PAIRED, 0.9], rows[SHIFTED, 0.9]
    assert (sound["here"], off_by_one["here"]) == pytest.approx((-1, -0.5))
    assert (sound["observations"], off_by_one["observations"]) == (4, 3)
    assert sound["note"] == "one run, no spread"
    assert rows[PAIRED, 0.8]["note"] == "not run yet"


def test_too_few_snapshots_have_no_correlation(tmp_path: Path) -> None:
    write_stream(tmp_path, lambda task: 0.9 - task / 100)
    for task in SNAPSHOTS[:3]:
        write_search(tmp_path, task, 0.8, jaccards=[0.1 + task / 30] * 3)
    rows = found(tmp_path)
    assert rows[PAIRED, 0.8]["here"] == pytest.approx(-1)
    assert rows[SHIFTED, 0.8]["note"] == "not run yet"


@pytest.mark.parametrize(
    ("sparsity", "density", "here", "words"),
    [
        (0.8, 0.05, 0.94, "with probability 0.05, as the original's"),
        (0.95, None, 0.94, "have the layer densities of the tickets"),
        (0.8, None, None, "not run yet"),
        (0.95, 0.1, None, "not run yet"),
    ],
)
def test_kind_of_random_masks(
    tmp_path: Path, sparsity: float, density: float | None, here: float | None, words: str
) -> None:
    write_stream(tmp_path, lambda task: 0.9)
    write_search(tmp_path, 0, sparsity, masks=(0.93, 0.95), random_density=density)
    row = found(tmp_path)[RANDOM_MASKS, 0]
    assert words in row["note"]
    if here is None:
        assert pd.isna(row["here"])
    else:
        assert row["here"] == pytest.approx(here)


# ------------------------------------------------------------------ which runs


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lr": 0.01}, "2 runs (lr=0.01)"),
        ({"masked": "zero"}, "1 run (masked=zero)"),
        ({"rounds": "4"}, "1 run (rounds=4)"),
        ({"hidden": "100,100", "epochs": 3}, "2 runs (hidden=100,100, epochs=3)"),
    ],
)
def test_other_runs_are_not_used(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    write_stream(tmp_path, lambda task: 0.952)
    write_search(tmp_path, 0, 0.8, jaccards=(0.2, 0.3, 0.4))
    if "lr" in options or "hidden" in options:
        write_stream(tmp_path, lambda task: 0.1, **options)
    write_search(tmp_path, 0, 0.8, jaccards=(0.9, 0.9, 0.9), **options)
    rows = found(tmp_path)
    assert rows[ACCURACY, 0]["here"] == pytest.approx(0.952)
    assert rows[OVERLAP, 0]["here"] == pytest.approx(0.3)
    notes = " ".join(original_rows(Storage(tmp_path)).notes)
    for part in words.removesuffix(")").split("(")[1].split(", "):
        assert part in notes
    assert words.split(" (")[0] in notes


def test_where_and_what_is_measured_makes_no_difference(tmp_path: Path) -> None:
    write_stream(tmp_path, lambda task: 0.952, engine="generic", device="cpu", probe_size=100)
    assert found(tmp_path)[ACCURACY, 0]["seeds"] == 1
    assert "Not used" not in " ".join(original_rows(Storage(tmp_path)).notes)


def test_runs_from_before_an_option_existed_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = {"schedule", "warmup", "augment", "label_smoothing", "clip_norm", "precision"}
    values = results.option_values
    with monkeypatch.context() as patch:
        patch.setattr(
            results, "option_values",
            lambda run: {n: value for n, value in values(run).items() if n not in later},
        )  # fmt: skip
        write_stream(tmp_path, lambda task: 0.952)
    assert results.read(tmp_path, "runs")["schedule"].isna().all()
    assert found(tmp_path)[ACCURACY, 0]["seeds"] == 1
    write_stream(tmp_path, lambda task: 0.952, label_smoothing=0.1)
    assert "label_smoothing=0.1" in " ".join(original_rows(Storage(tmp_path)).notes)


def test_less_counts_and_is_named(tmp_path: Path) -> None:
    """A shorter stream than the original's counts, and fewer tickets do."""
    write_stream(tmp_path, lambda task: 0.952, tasks=20)
    write_search(tmp_path, 0, 0.8, jaccards=(0.2, 0.3, 0.4), tickets=(), tasks=20)
    rows = found(tmp_path)
    assert (rows[ACCURACY, 0]["seeds"], rows[ACCURACY, 0]["observations"]) == (1, 1)
    notes = " ".join(original_rows(Storage(tmp_path)).notes)
    assert "tasks=20 (original: 501)" in notes
    assert "snapshots=0,3,6,9 (original: 0,50,...,500)" in notes
    assert "tickets=" not in notes
    write_search(tmp_path, 9, 0.8, jaccards=(0.2, 0.3, 0.4), random_masks=2)
    assert "random_masks=2 (original: 10)" in " ".join(original_rows(Storage(tmp_path)).notes)


def test_a_stream_that_is_still_running(tmp_path: Path) -> None:
    write_stream(tmp_path, lambda task: 0.952, finished=False)
    write_stream(tmp_path, lambda task: 0.1, finished=False, shifts="stationary")
    rows = found(tmp_path)
    assert rows[ACCURACY, 0]["here"] == pytest.approx(0.952)
    (note,) = original_rows(Storage(tmp_path)).notes
    assert note.startswith("1 stream used without a row in tables/runs (still running)")


# ------------------------------------------------------------------ the script


def test_what_is_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_stream(tmp_path, lambda task: 0.95 + 0.002 * (task % 2))
    write_search(
        tmp_path, 0, 0.95, tickets=(0.95, 0.96), jaccards=(0.1, 0.1, 0.1), masks=(0.3, 0.4)
    )
    for task in SNAPSHOTS:
        write_search(tmp_path, task, 0.8, jaccards=(0.2 + task / 30, 0.3, 0.3))
    assert run(tmp_path) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines()[:-2])) <= 80
    text = " ".join(printed.split())
    assert "within their range: 5 of 9. Outside: " in text
    assert "Not run yet: test accuracy after the task (task 50, 100, 150);" in text
    assert "if snapshots did not depend on each other; those of a stream do, and" in text
    assert "- One run, no spread: correlation off by one task (sparsity 0.8)." in text
    table = read_analysis(tmp_path, "reproduction")
    assert list(table) == list(reproduction.COLUMNS)
    assert len(table) == 18


@pytest.mark.parametrize("options", [None, {"shifts": "stationary"}, {"lr": 0.01}])
def test_nothing_to_compare_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: dict[str, Any] | None
) -> None:
    if options is not None:
        write_stream(tmp_path, lambda task: 0.9, **options)
    assert run(tmp_path) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: STORAGE={tmp_path}: must ")
    assert captured.err.count("\n") == 1
    assert not (tmp_path / "analysis").exists()
