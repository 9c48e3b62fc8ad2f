"""Tickets and controls: which accuracies are drawn, and how many tickets win."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from raylot.analysis.figures.material import NothingToDrawError
from raylot.analysis.figures.tickets_and_controls import tickets_and_controls, winning_share
from tests.unit.analysis.studies import materials, write_study

pytestmark = pytest.mark.filterwarnings("error")


def values(shift: str, seed: int, task: int, sparsity: float) -> dict[str, float]:
    return {
        "test_accuracy": 0.9,
        "ticket_count": 2.0,
        "dense_accuracy": 0.9 + 0.02 * seed,
        "ticket_accuracy": sparsity + 0.01 * task,
        "random_accuracy": np.nan,
        "reinit_accuracy": 0.5,
        "winning_tickets": 1 + 2 * seed,
    }


def test_a_panel_per_shift_and_sparsity(tmp_path: Path) -> None:
    root = write_study(
        tmp_path, values, seeds=(0, 1), tasks=(0, 4), sparsities=(0.8, 0.9), tickets=4,
        shifts=("permuted_pixels", "stationary"),
    )  # fmt: skip
    figure = tickets_and_controls(*materials(root))
    assert [axes.get_title() for axes in figure.axes] == ["permuted_pixels", "stationary", "", ""]
    assert [axes.get_ylabel() for axes in figure.axes[::2]] == [
        "sparsity 0.8\nTest accuracy", "sparsity 0.9\nTest accuracy",
    ]  # fmt: skip
    for axes, sparsity in zip(figure.axes, (0.8, 0.8, 0.9, 0.9), strict=True):
        dense, tickets, reinit = axes.get_lines()
        assert dense.get_ydata() == pytest.approx([0.91, 0.91])
        assert tickets.get_ydata() == pytest.approx([sparsity, sparsity + 0.04])
        assert reinit.get_ydata() == pytest.approx([0.5, 0.5])
        # 1 and 3 of 4 tickets win: the bars are half as high as their frames.
        frames, bars = axes.patches[:2], axes.patches[2:]
        for frame, bar in zip(frames, bars, strict=True):
            assert bar.get_height() / frame.get_height() == pytest.approx(0.5)
    named = {text.get_text() for text in figure.axes[1].texts}
    assert named == {"dense", "tickets", "reinit"}
    assert not figure.axes[0].texts
    note = " ".join(figure.get_supxlabel().split())
    assert "share of the tickets that win" in note
    assert "reinit:" in note
    assert "random:" not in note


def test_winning_share_counts_tickets_of_all_seeds() -> None:
    rows = pd.DataFrame(
        {"task": [0, 0, 5, 9], "winning_tickets": [1, 2, None, 0], "tickets": [4, 2, 4, 0]}
    )
    assert winning_share(rows).to_dict() == {0: 0.5}


def test_nothing_to_draw(tmp_path: Path) -> None:
    root = write_study(tmp_path, lambda *_: {"ticket_count": 2.0}, seeds=(0,), tasks=(0,))
    with pytest.raises(NothingToDrawError, match="no tickets or controls"):
        tickets_and_controls(*materials(root))
