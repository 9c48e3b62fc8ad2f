"""Figure: how accuracy, overlap and ticket count change between neighbouring snapshots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from raylot.analysis.figures.material import Material, NothingToDrawError
from raylot.analysis.figures.panels import (
    draw_means,
    draw_searches,
    label_row,
    mark_empty,
    means_over_seeds,
    panel_grid,
    seeds_note,
    share_y,
)
from raylot.analysis.figures.style import GREY, Label, label_rows, note
from raylot.analysis.tables.observations import GROUP

_TICKETS = ("overlap_mean", "ticket_count")
_ROWS = {
    "test_accuracy": "Change of\ntest accuracy",
    "overlap_mean": "Change of mean\npairwise overlap",
    "ticket_count": "Change of\nticket count",
}


def first_differences(material: Material) -> Figure:
    """From top to bottom the changes of test accuracy, mean pairwise overlap and ticket count,
    each drawn at the later of two neighbouring snapshots. Means over seeds with 95% t intervals.

    Raises:
        NothingToDrawError: no stream has two neighbouring snapshots.
    """
    changes = differences(material.frame, list(_ROWS))
    if changes.empty:
        raise NothingToDrawError("no stream has two neighbouring snapshots")
    colours = material.shift_colours
    figure, panels = panel_grid(material.shifts, len(_ROWS), 1.2, "Task of the stream", colours)
    labels: list[Label] = []
    for shift, own in panels.items():
        part = changes[changes["shift"] == shift]
        for axes, column in zip(own, _ROWS, strict=True):
            if column in _TICKETS:
                labels += draw_searches(axes, part, column, material.frame)
            else:
                draw_means(axes, means_over_seeds(part, column), colours[shift])
            mark_empty(axes)
            if axes.get_lines():
                axes.axhline(0, color=GREY, linewidth=0.5, zorder=0)
    scales = set()
    for row, text in enumerate(_ROWS.values()):
        scales.add(share_y([own[row] for own in panels.values()]))
        label_row(panels, row, text)
    note(
        figure,
        material.title,
        seeds_note(material.frame),
        *scales,
        "Each point: value at a snapshot minus that at the snapshot before it; accuracy as a "
        "fraction, overlap as Jaccard index, ticket count as effective number.",
    )
    label_rows(labels)
    return figure


def differences(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Changes of some columns from each snapshot to the stream's next, within each search.

    Args:
        frame: observations of one setting.
        columns: that are differenced.

    Returns:
        `GROUP`, seed, the later snapshot's task, and the changes; no row across a snapshot that
        the stream lacks.
    """
    grid = np.sort(frame["task"].unique())
    ordered = frame.sort_values("task").assign(
        position=lambda rows: np.searchsorted(grid, rows["task"])
    )
    streams = ordered.groupby([*GROUP, "seed"], dropna=False)
    changes = streams[[*columns, "position"]].diff()
    found = ordered[[*GROUP, "seed", "task"]].join(changes)
    return found[found["position"] == 1].drop(columns="position")
