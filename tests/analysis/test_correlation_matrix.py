"""The matrix of correlations: what stands in a cell, and how sure it looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from correlation_matrix import correlation_matrix, number
from material import NothingToDrawError

pytestmark = pytest.mark.filterwarnings("error")


def material(shifts: tuple[str, ...], sparsities: tuple[float, ...], tickets: int) -> Any:
    """A setting whose every correlation is 0.5, sure for the first measure only."""

    def rows() -> Iterator[dict[str, Any]]:
        for sparsity in sparsities:
            for shift in (*shifts, "all") if len(shifts) > 1 else shifts:
                for ticket in range(tickets):
                    for measure, low in (("test_accuracy", 0.2), ("dead_fraction", -0.2)):
                        yield {
                            "shift": shift, "sparsity": sparsity, "rounds": 3, "low": low,
                            "ticket_measure": f"ticket_{ticket}", "plasticity_measure": measure,
                            "statistic": "pearson", "estimate": 0.5, "high": 0.8,
                        }  # fmt: skip

    frame = pd.DataFrame(
        [{"shift": s, "sparsity": p, "rounds": 3} for s in shifts for p in sparsities]
    )
    found = pd.DataFrame(rows())
    return SimpleNamespace(correlations=lambda _: found, frame=frame, title="")


def test_panels_cells_and_paleness() -> None:
    found = correlation_matrix(material(("noise", "stationary"), (0.8, 0.9), 2), "pearson")
    figure = found[""]
    titles = ["noise", "stationary", "all shifts"]
    assert [axes.get_title() for axes in figure.axes] == titles * 2
    assert [axes.get_ylabel() for axes in figure.axes[::3]] == ["sparsity 0.8", "sparsity 0.9"]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["test accuracy", "dead units"]
    for axes in figure.axes:
        assert [text.get_text() for text in axes.texts] == [".50"] * 4
        sure, unsure = np.asarray(axes.images[0].get_array())[:, 0]
        assert (1 - unsure) == pytest.approx(0.3 * (1 - sure))
    assert "covers 0" in " ".join(figure.get_supxlabel().split())


def test_more_than_a_page_is_a_figure_per_sparsity() -> None:
    shifts = ("class_split", "noise", "rotation", "stationary")
    found = correlation_matrix(material(shifts, (0.8, 0.9), 8), "pearson")
    assert list(found) == ["sparsity_0.8", "sparsity_0.9"]
    for figure in found.values():
        assert sum(axes.get_visible() for axes in figure.axes) == 5


def test_what_does_not_exist_is_said(
    tmp_path: Path, write_study: Callable[..., Path], materials: Any
) -> None:
    root = write_study(tmp_path, lambda *_: {"ticket_count": 2.0}, seeds=(0,), tasks=(0,))
    with pytest.raises(NothingToDrawError, match="too few snapshots"):
        correlation_matrix(*materials(root), "first_differences")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.734, ".73"), (-0.5, "-.50"), (1.0, "1.00"), (-1.0, "-1.00"), (-0.001, ".00"),
     (0.999, "1.00"), (float("nan"), "n/a")],
)  # fmt: skip
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text
