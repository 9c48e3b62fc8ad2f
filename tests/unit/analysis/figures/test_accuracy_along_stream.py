"""Test accuracy along the stream: what is smoothed, averaged and named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from raylot.analysis.figures.accuracy_along_stream import accuracy_along_stream, smoothing_window
from tests.unit.analysis.studies import materials, write_study

pytestmark = pytest.mark.filterwarnings("error")

# Accuracies of tasks 0 ... 9; seed 1 is 0.02 better.
CURVE = np.array([0.9, 0.6] * 5)


def values(shift: str, seed: int, task: int, sparsity: float) -> dict[str, float]:
    return {"test_accuracy": CURVE[task] + 0.02 * seed, "ticket_count": 2.0}


@pytest.mark.parametrize(("tasks", "window"), [(1, 1), (9, 1), (10, 3), (31, 3), (501, 25)])
def test_window_is_an_odd_twentieth(tasks: int, window: int) -> None:
    assert smoothing_window(tasks) == window


def test_line_and_band_are_those_of_smoothed_seeds(tmp_path: Path) -> None:
    root = write_study(tmp_path, values, seeds=(0, 1), tasks=range(10))
    figure = accuracy_along_stream(materials(root))
    [axes] = figure.axes
    raw, smooth = axes.get_lines()
    assert raw.get_ydata() == pytest.approx(CURVE + 0.01)
    # Two tasks at the ends, three in between.
    assert smooth.get_ydata() == pytest.approx([0.76, *[0.81, 0.71] * 4, 0.76])
    # Two seeds that differ by 0.02 have a standard error of 0.01; t(0.975, 1) = 12.7062.
    [band] = axes.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.min() == pytest.approx(0.71 - 0.127062, abs=1e-6)
    assert heights.max() == pytest.approx(0.81 + 0.127062, abs=1e-6)
    assert [text.get_text() for text in axes.texts] == ["permuted_pixels"]
    note = " ".join(figure.get_supxlabel().split())
    assert "centred mean over 3 tasks" in note
    assert "Means over 2 seeds" in note


def test_a_seed_that_diverged_leaves_the_others(tmp_path: Path) -> None:
    def diverging(shift: str, seed: int, task: int, sparsity: float) -> dict[str, float]:
        lost = seed == 1 and task >= 2
        return {"test_accuracy": np.nan if lost else 0.5 + 0.1 * seed, "ticket_count": 2.0}

    root = write_study(tmp_path, diverging, seeds=(0, 1), tasks=range(4))
    [line] = accuracy_along_stream(materials(root)).axes[0].get_lines()
    assert line.get_ydata() == pytest.approx([0.55, 0.55, 0.5, 0.5])


def test_a_dose_has_one_colour_in_all_panels(tmp_path: Path) -> None:
    """Also where another one is missing."""
    for strength, shifts in ((1e-4, ["noise"]), (1e-3, ["noise", "rotation"])):
        for seed in (0, 1):
            write_study(
                tmp_path, values, seeds=(seed,), tasks=range(4), shifts=shifts,
                intervention="l2", l2_strength=strength,
            )  # fmt: skip
    noise, rotation = accuracy_along_stream(materials(tmp_path)).axes
    weaker, stronger = (line.get_color() for line in noise.get_lines())
    assert [line.get_color() for line in rotation.get_lines()] in ([weaker], [stronger])
    assert weaker != stronger


def test_a_line_per_intervention(tmp_path: Path) -> None:
    for intervention in ("none", "redo"):
        write_study(
            tmp_path, values, seeds=(0,), tasks=range(4), intervention=intervention,
            shifts=("permuted_pixels", "stationary"),
        )  # fmt: skip
    found = materials(tmp_path)
    assert len(found) == 2
    figure = accuracy_along_stream(found)
    assert [axes.get_title() for axes in figure.axes] == ["permuted_pixels", "stationary"]
    assert all(len(axes.get_lines()) == 2 for axes in figure.axes)
    assert {text.get_text() for text in figure.axes[1].texts} == {"none", "redo"}
    assert "Not smoothed" in figure.get_supxlabel()


def test_many_shifts_have_a_panel_each(tmp_path: Path) -> None:
    shifts = ("permuted_pixels", "rotation", "noise", "random_labels", "stationary")
    root = write_study(tmp_path, values, seeds=(0,), tasks=range(2), shifts=shifts)
    shown = [axes for axes in accuracy_along_stream(materials(root)).axes if axes.get_visible()]
    assert sorted(axes.get_title() for axes in shown) == sorted(shifts)
    assert all(len(axes.get_lines()) == 1 for axes in shown)
