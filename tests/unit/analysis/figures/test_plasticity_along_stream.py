"""Every measure of plasticity along the snapshots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raylot.analysis.figures.plasticity_along_stream import plasticity_along_stream
from tests.unit.analysis.studies import materials, write_study

pytestmark = pytest.mark.filterwarnings("error")


def values(*_: Any) -> dict[str, float]:
    return {"test_accuracy": 0.9, "ticket_count": 2.0}


def metrics(shift: str, seed: int, task: int) -> dict[str, float]:
    return {
        "dead_fraction": 0.01 * task + 0.1 * seed,
        "ntk_condition_number": 10.0 ** (2 + task),
        "home_made": 3.0,
    }


def test_a_panel_per_measure_and_a_line_per_shift(tmp_path: Path) -> None:
    root = write_study(
        tmp_path, values, seeds=(0, 1), tasks=(0, 2), sparsities=(0.8, 0.9), metrics=metrics,
        shifts=("permuted_pixels", "stationary"),
    )  # fmt: skip
    figure = plasticity_along_stream(*materials(root))
    panels = {axes.get_title(): axes for axes in figure.axes}
    assert list(panels) == [
        "Test accuracy\u00a0↑\n(fraction)", "Dead units\u00a0↓\n(fraction)",
        "Condition number of the\npseudo-NTK\u00a0↓", "Home made",
    ]  # fmt: skip
    for line in panels["Dead units\u00a0↓\n(fraction)"].get_lines():
        assert line.get_ydata() == pytest.approx([0.05, 0.07])
    scales = [axes.get_yscale() for axes in figure.axes]
    assert scales == ["linear", "linear", "log", "linear"]
    named = [{text.get_text() for text in axes.texts} for axes in figure.axes]
    assert named == [set(), set(), set(), {"permuted_pixels", "stationary"}]
