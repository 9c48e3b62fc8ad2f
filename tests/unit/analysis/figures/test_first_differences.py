"""Changes between neighbouring snapshots."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from raylot.analysis.figures.first_differences import differences, first_differences
from raylot.analysis.figures.material import NothingToDrawError
from tests.unit.analysis.studies import materials, write_study

pytestmark = pytest.mark.filterwarnings("error")


def values(shift: str, seed: int, task: int, sparsity: float) -> dict[str, float]:
    return {
        "test_accuracy": 0.9 - 0.001 * task**2 + 0.1 * seed,
        "overlap_mean": 0.1 * task * sparsity,
        "ticket_count": 4 - task + seed * task,
    }


def test_changes_are_drawn_at_the_later_snapshot(tmp_path: Path) -> None:
    root = write_study(tmp_path, values, seeds=(0, 1), tasks=(0, 1, 3), sparsities=(0.8, 0.9))
    accuracy, overlap, count = first_differences(*materials(root)).axes
    line, zero = accuracy.get_lines()
    assert list(line.get_xdata()) == [1, 3]
    assert line.get_ydata() == pytest.approx([-0.001, -0.008])
    assert list(zero.get_ydata()) == [0, 0]
    assert overlap.get_lines()[0].get_ydata() == pytest.approx([0.08, 0.16])
    assert overlap.get_lines()[1].get_ydata() == pytest.approx([0.09, 0.18])
    # Seed 0 falls by 1 per task, seed 1 stays.
    assert count.get_lines()[0].get_ydata() == pytest.approx([-0.5, -1])
    assert {text.get_text() for text in count.texts} == {"sparsity 0.8", "sparsity 0.9"}


def test_a_single_change_has_its_interval(tmp_path: Path) -> None:
    root = write_study(tmp_path, values, seeds=(0, 1), tasks=(0, 1))
    *_, count = first_differences(*materials(root)).axes
    # Changes of -1 and 0: mean -0.5, standard error 0.5, t(0.975, 1) = 12.7062.
    [[low, high]] = count.collections[0].get_segments()
    assert list(low) == pytest.approx([1, -0.5 - 6.3531], abs=1e-4)
    assert list(high) == pytest.approx([1, -0.5 + 6.3531], abs=1e-4)


def test_no_change_across_a_missing_snapshot() -> None:
    rows = [(0, 0, 1.0), (0, 1, 2.0), (0, 2, 4.0), (1, 0, 1.0), (1, 2, 9.0)]
    frame = pd.DataFrame(rows, columns=["seed", "task", "ticket_count"])
    frame = frame.assign(shift="noise", sparsity=0.8, rounds=None)
    found = differences(frame, ["ticket_count"])
    assert found[["seed", "task", "ticket_count"]].to_numpy().tolist() == [[0, 1, 1], [0, 2, 2]]


def test_one_snapshot_has_none(tmp_path: Path) -> None:
    root = write_study(tmp_path, values, seeds=(0,), tasks=(0,))
    with pytest.raises(NothingToDrawError, match="two neighbouring snapshots"):
        first_differences(*materials(root))
