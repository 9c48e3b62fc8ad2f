"""Ticket streams: which rows are compared, paired by seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from raylot.analysis.figures.material import NothingToDrawError
from raylot.analysis.figures.ticket_streams import paired_difference, ticket_streams
from raylot.config import Study
from tests.unit.analysis.studies import materials, write_study, write_ticket_stream

pytestmark = pytest.mark.filterwarnings("error")

SNAPSHOTS = (0, 2, 4, 6, 8)


def values(shift: str, seed: int, task: int, sparsity: float) -> dict[str, float]:
    return {"test_accuracy": 0.9 - 0.01 * task + 0.1 * seed, "ticket_count": 2.0}


@pytest.fixture
def write_streams(tmp_path: Path) -> Callable[..., Path]:
    """Writes a study of 9 tasks and its ticket streams: on the two tasks after the snapshot, the
    ticket's accuracy is 0.8 and 0.7, and 0.1 higher for seed 1."""

    def write(subnetworks: tuple[str, ...], masked: str = "zero", seeds: Any = (0, 1)) -> Path:
        write_study(tmp_path, values, seeds=seeds, tasks=SNAPSHOTS, masked=masked)
        study = Study.checked(
            tasks=9, snapshots=",".join(map(str, SNAPSHOTS)), rounds=3, ticket_tasks=2,
            masked=masked,
        )  # fmt: skip
        for seed in seeds:
            for task in SNAPSHOTS:
                for number, subnetwork in enumerate(subnetworks):
                    first = 0.8 + 0.1 * seed + 0.05 * number
                    write_ticket_stream(
                        tmp_path, study, [first, first - 0.1], seed=seed, task=task,
                        subnetwork=subnetwork,
                    )  # fmt: skip
        return tmp_path

    return write


def test_ticket_against_dense(write_streams: Callable[..., Path]) -> None:
    figure = ticket_streams(*materials(write_streams(("ticket", "dense"))))
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [f"from snapshot {task}" for task in (0, 2, 6, 8)]
    for axes in figure.axes:
        dense, ticket = axes.get_lines()
        assert list(dense.get_xdata()) == [1, 2]
        assert ticket.get_ydata() == pytest.approx([0.85, 0.75])
        assert dense.get_ydata() == pytest.approx([0.9, 0.8])
        assert axes.texts[0].get_text() == "ticket - dense -0.050\n[-0.050, -0.050]"
    assert {text.get_text() for text in figure.axes[3].texts[1:]} == {"ticket", "dense"}
    note = " ".join(figure.get_supxlabel().split())
    assert "4 of 5 snapshots are shown" in note
    assert "the stream itself" not in note


def test_without_dense_ticket_streams_the_stream_itself(write_streams: Callable[..., Path]) -> None:
    figure = ticket_streams(*materials(write_streams(("ticket",), seeds=(0,))))
    dense, _ = figure.axes[1].get_lines()
    # At tasks 3 and 4. Only task 4 has a snapshot, where the fixture's stream has no noise.
    assert dense.get_ydata()[1] == pytest.approx(0.86)
    assert len(figure.axes[3].get_lines()) == 1  # the stream ends at task 8
    assert "the stream itself" in " ".join(figure.get_supxlabel().split())


def test_protocols_are_not_mixed(write_streams: Callable[..., Path]) -> None:
    root = write_streams(("ticket",), masked="zero", seeds=(0,))
    write_streams(("ticket", "dense"), masked="freeze", seeds=(0,))
    found = {material.protocol: material.ticket_streams for material in materials(root)}
    assert len(found) == 2
    for rows in found.values():
        assert rows[rows["subnetwork"] == "ticket"]["run_id"].nunique() == len(SNAPSHOTS)
        assert rows[rows["subnetwork"] == "dense"]["run_id"].nunique() == len(SNAPSHOTS)


def test_paired_difference_is_taken_within_seeds() -> None:
    rows = pd.DataFrame(
        [
            (0, 1, "ticket", 0.8), (0, 1, "dense", 0.7),
            (0, 2, "ticket", 0.8), (0, 2, "dense", np.nan),
            (1, 1, "ticket", 0.2), (1, 1, "dense", 0.3),
            (1, 2, "ticket", 0.2), (1, 2, "dense", 0.1),
            (2, 1, "ticket", 0.9),
        ],
        columns=["seed", "task", "subnetwork", "test_accuracy"],
    )  # fmt: skip
    difference = paired_difference(rows)
    assert difference is not None
    assert difference.seeds == 2
    assert difference.mean == pytest.approx((0.1 + 0.0) / 2)
    assert paired_difference(rows[rows["subnetwork"] == "ticket"]) is None


def test_no_ticket_streams(tmp_path: Path) -> None:
    root = write_study(tmp_path, values, seeds=(0,), tasks=(0,))
    with pytest.raises(NothingToDrawError, match="no ticket streams were trained here"):
        ticket_streams(*materials(root))
