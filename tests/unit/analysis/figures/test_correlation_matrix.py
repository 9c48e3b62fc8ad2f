"""The matrix of correlations: what stands in a cell, and how sure it looks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb

from raylot.analysis.figures.correlation_matrix import correlation_matrix, matrix_parts
from raylot.analysis.figures.material import NothingToDrawError
from raylot.analysis.figures.style import (
    CORRELATION_COLOURS,
    PALE,
    contrast,
    correlation_colours,
    ink_on,
)
from raylot.analysis.tables.measures import MAIN_MEASURES, TICKET_MEASURES, main_measures, measure
from raylot.analysis.words import correlation
from tests.unit.analysis.studies import falling, materials, write_study

pytestmark = pytest.mark.filterwarnings("error")


def material(shifts: tuple[str, ...], sparsities: tuple[float, ...], tickets: int) -> Any:
    """A setting whose every correlation is 0.5, sure for the first measure only."""

    def rows() -> Iterator[dict[str, Any]]:
        for sparsity in sparsities:
            for shift in (*shifts, "all") if len(shifts) > 1 else shifts:
                for ticket in range(tickets):
                    for plasticity, low in (("test_accuracy", 0.2), ("dead_fraction", -0.2)):
                        yield {
                            "shift": shift, "sparsity": sparsity, "rounds": 3, "low": low,
                            "ticket_measure": f"ticket_{ticket}", "plasticity_measure": plasticity,
                            "statistic": "pearson", "estimate": 0.5, "high": 0.8,
                        }  # fmt: skip

    frame = pd.DataFrame(
        [{"shift": s, "sparsity": p, "rounds": 3} for s in shifts for p in sparsities]
    )
    found = pd.DataFrame(rows())
    return SimpleNamespace(
        correlations=lambda _: found, frame=frame, title="", left_out=0,
        shown_tickets=list(found["ticket_measure"].unique()), shift_colours={},
    )  # fmt: skip


def test_panels_cells_and_paleness() -> None:
    own = material(("noise", "stationary"), (0.8, 0.9), 2)
    assert matrix_parts(own) == [""]
    figure = correlation_matrix(own, statistic="pearson")
    titles = ["noise", "stationary", "all shifts"]
    assert [axes.get_title() for axes in figure.axes] == titles * 2
    assert [axes.get_ylabel() for axes in figure.axes[::3]] == ["sparsity 0.8", "sparsity 0.9"]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["test accuracy", "dead units"]
    middle = np.array([0xF7] * 3) / 255
    for axes in figure.axes:
        assert [text.get_text() for text in axes.texts] == ["+.50"] * 4
        cells = np.asarray(axes.images[0].get_array())
        sure, unsure = cells[:, 0]
        assert (middle - unsure) == pytest.approx(PALE * (middle - sure), abs=0.01)
        for text in axes.texts:
            column, row = map(int, text.get_position())
            assert contrast(text.get_color(), cells[row, column]) >= 4.5
    assert "covers 0" in " ".join(figure.get_supxlabel().split())


def test_more_than_a_page_is_a_figure_per_sparsity() -> None:
    shifts = ("class_split", "noise", "rotation", "stationary")
    own = material(shifts, (0.8, 0.9), 8)
    assert matrix_parts(own) == ["sparsity_0.8", "sparsity_0.9"]
    for part in matrix_parts(own):
        figure = correlation_matrix(own, part, statistic="pearson")
        assert sum(axes.get_visible() for axes in figure.axes) == 5


def test_what_does_not_exist_is_said(tmp_path: Path) -> None:
    root = write_study(tmp_path, lambda *_: {"ticket_count": 2.0}, seeds=(0,), tasks=(0,))
    with pytest.raises(NothingToDrawError, match="too few snapshots"):
        correlation_matrix(*materials(root), statistic="first_differences")


def test_contrast_is_that_of_the_guidelines() -> None:
    assert contrast("white", "black") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.478, abs=1e-3)  # just too little
    assert contrast("#ffffff", "#777777") == contrast("#777777", "#ffffff")


def test_each_number_can_be_read_and_red_is_positive() -> None:
    estimates = np.linspace(-1, 1, 201)
    for sure in (True, False):
        colours = correlation_colours(estimates, np.full(201, sure))
        assert min(contrast(ink_on(colour), colour) for colour in colours) >= 4.5
    ends = correlation_colours(np.array([-1.0, 0.0, 1.0, np.nan]), np.ones(4, dtype=bool))
    low, middle, high = CORRELATION_COLOURS["light"]
    assert [to_hex(colour) for colour in ends] == [low, middle, high, middle]
    (red, _, blue), (low_red, _, low_blue) = to_rgb(high), to_rgb(low)
    assert red > 2 * blue
    assert low_blue > 2 * low_red


def test_the_main_measures_are_few_known_and_a_users_own_is_among_them() -> None:
    tickets = main_measures(TICKET_MEASURES)
    assert tickets == [
        "ticket_count", "winning_tickets", "ticket_advantage", "advantage_over_random"
    ]  # fmt: skip
    assert main_measures(["srank", "test_accuracy", "my_metric"]) == ["test_accuracy", "my_metric"]
    assert main_measures(["srank", "sharpness"]) == ["srank", "sharpness"]
    assert all(measure(name).label != name for name in MAIN_MEASURES)


def test_all_measures_are_shown_on_request(tmp_path: Path) -> None:
    """``overlap_mean`` repeats the ticket count with the other sign."""
    [own] = materials(write_study(tmp_path, falling))

    def shown(all_measures: bool) -> tuple[list[str], str]:
        material = replace(own, all_measures=all_measures)
        figure = correlation_matrix(material, statistic="pearson")
        labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
        return labels, " ".join(figure.get_supxlabel().split())

    columns, said = shown(all_measures=False)
    assert columns == ["ticket count", "ticket minus random\naccuracy"]
    assert said.endswith(
        "3 measures left out: raylot analyse figures STORAGE --measures all shows all."
    )
    columns, said = shown(all_measures=True)
    assert columns == [
        "ticket count", "winning ticket count", "mean pairwise\noverlap", "ticket accuracy",
        "ticket minus random\naccuracy",
    ]  # fmt: skip
    assert "left out" not in said


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.734, "+.73"), (-0.5, "-.50"), (1.0, "+1.0"), (-1.0, "-1.0"), (-0.001, "+.00"),
     (0.999, "+1.0"), (float("nan"), "n/a")],
)  # fmt: skip
def test_numbers(value: float, text: str) -> None:
    assert correlation(value) == text
