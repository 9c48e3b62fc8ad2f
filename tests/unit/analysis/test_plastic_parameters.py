"""The most plastic weights beside the tickets' weights: numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from raylot.analysis import command, plastic_parameters
from raylot.analysis.plastic_parameters import compare, measured, verdict
from raylot.analysis.statistics.intervals import Mean
from raylot.config import Study
from raylot.storage import Storage
from tests.unit.analysis.studies import finish, read_analysis, write_rows

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")

CHANCE = 0.2


def write(
    root: Path,
    jaccard: Callable[[str, int, int], float],
    *,
    seeds: int = 3,
    snapshots: tuple[int, ...] = (0, 10, 20),
    with_plastic: bool = True,
    **options: Any,
) -> Path:
    """``jaccard`` is of (selection, seed, snapshot); layer 0 has 0.3 more."""
    study = Study.checked(**{"tasks": 21, "snapshots": "0,10,20", "rounds": 3, **options})
    for seed in range(seeds):
        for snapshot in snapshots:
            run = study.tickets_run(shift="permuted_pixels", seed=seed, task=snapshot, sparsity=0.8)
            place = {"protocol": run.protocol, "task": snapshot, "sparsity": 0.8, "rounds": 3}
            rows = [
                {**place, "layer": layer, "selection": selection, **likeness(value + more)}
                for selection in ("first", "union", "intersection")
                for value in [jaccard(selection, seed, snapshot)]
                for layer, more in (("all", 0.0), ("0", 0.3))
            ]
            write_rows(root, "snapshots", run, [place])
            if with_plastic:
                write_rows(root, "plastic_parameters", run, rows)
            finish(root, run)
    return root


def likeness(jaccard: float) -> dict[str, float]:
    corrected = (jaccard - CHANCE) / (1 - CHANCE)
    return {"jaccard": jaccard, "chance": CHANCE, "corrected": corrected}


def compared(root: Path) -> pd.DataFrame:
    (setting,) = measured(Storage(root))
    return compare(setting.frame)


def run(root: Path, *arguments: str) -> int:
    return command.run(lambda: plastic_parameters.main([str(root), *arguments]))


def by_hand(selection: str, seed: int, snapshot: int) -> float:
    """First: 0.3, 0.4, 0.5 at task 0, and 0.1 less for each further snapshot; the others chance."""
    return 0.3 + 0.1 * seed - snapshot / 100 if selection == "first" else CHANCE


def test_by_hand(tmp_path: Path) -> None:
    rows = compared(write(tmp_path, by_hand)).set_index(["layer", "selection"])
    first = rows.loc[("all", "first")].set_index("snapshot", drop=False)
    half = 4.302653 * 0.1 / np.sqrt(3)
    start, mean = first.loc[0], first[first["snapshot"].isna()].iloc[0]
    assert (start.jaccard, start.jaccard_low) == pytest.approx((0.4, 0.4 - half))
    assert (start.corrected, start.corrected_high) == pytest.approx((0.25, 0.25 + half / 0.8))
    assert (start.chance, start.chance_low, start.seeds) == pytest.approx((0.2, 0.2, 3))
    assert first.loc[20].jaccard == pytest.approx(0.2)
    assert (mean.jaccard, mean.jaccard_high) == pytest.approx((0.3, 0.3 + half))
    assert len(first) == 4
    assert rows.loc[("0", "union")]["jaccard"].to_numpy() == pytest.approx([0.5] * 4)
    assert rows.loc[("all", "union")]["corrected"].to_numpy() == pytest.approx([0] * 4)


@pytest.mark.parametrize(
    ("mean", "words"),
    [
        (Mean(-0.2, -0.3, -0.1, 5), "not the same weights, less in common than by chance"),
        (Mean(-0.02, -0.1, 0.06, 5), "not the same weights as far as can be told, not clearly"),
        (Mean(0.02, -0.1, 0.14, 5), "not the same weights as far as can be told, not clearly"),
        (Mean(0.05, 0.04, 0.06, 5), "not the same weights, barely more in common than by"),
        (Mean(0.3, 0.2, 0.4, 5), "partly the same weights"),
        (Mean(0.8, 0.7, 0.9, 5), "largely the same weights"),
        (Mean(1.0, 1.0, 1.0, 5), "largely the same weights"),
        (Mean(0.8, 0.7, 0.9, 2), "open, above chance but with too few seeds"),
        (Mean(0.8, None, None, 1), "open, above chance but with too few seeds"),
        (Mean(0.0, None, None, 1), "not the same weights as far as so few seeds tell"),
        (None, "not known"),
    ],
)
def test_verdict(mean: Mean | None, words: str) -> None:
    assert verdict(mean).startswith(words)


def test_answer(tmp_path: Path) -> None:
    """The union is far above chance, the intersection below, the first ticket either."""
    by_selection = {"first": 0.2, "union": 0.9, "intersection": 0.1}
    noise = {0: -0.01, 1: 0.0, 2: 0.01}
    rows = compared(write(tmp_path, lambda name, seed, _: by_selection[name] + noise[seed]))
    text = plastic_parameters.answer(rows)
    assert text.startswith("permuted_pixels at sparsity 0.8 (mean over 3 snapshots, 3 seeds): ")
    assert "not clearly above chance: the first ticket (" in text
    assert "largely the same weights, far more in common than by chance: the union" in text
    assert "less in common than by chance: the intersection of all tickets (-" in text
    assert "too few" not in text


def test_one_seed_and_snapshot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, by_hand, seeds=1, snapshots=(10,))
    assert run(tmp_path) == 0
    printed = capsys.readouterr().out
    assert "(snapshot 10, 1 seed)" in " ".join(printed.split())
    assert "rests on 1 seed, too few to tell a finding from chance" in " ".join(printed.split())
    assert "nan" not in printed.lower()


def test_without_a_number_it_is_not_known(tmp_path: Path) -> None:
    rows = compared(write(tmp_path, lambda *_: np.nan, snapshots=(0,)))
    assert "not known: the first ticket" in plastic_parameters.answer(rows)


def test_what_is_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, by_hand)
    write(tmp_path, by_hand, lr=0.01, snapshots=(0,))
    assert run(tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[:-2])) <= 80
    text = "\n".join(lines)
    assert "lr=0.001" in text
    assert "lr=0.01" in text
    table = read_analysis(tmp_path, "plastic_parameters")
    assert list(table) == list(plastic_parameters.COLUMNS)
    # 3 snapshots and their mean, and one snapshot; 2 layers, 3 selections
    assert len(table) == (4 + 1) * 2 * 3
    assert set(table["seeds"]) == {3}


@pytest.mark.parametrize("searched", [False, True])
def test_nothing_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], searched: bool
) -> None:
    if searched:
        write(tmp_path, by_hand, with_plastic=False)
    assert run(tmp_path) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: STORAGE={tmp_path}: must be the folder or URI of a")
    assert captured.err.count("\n") == 1
