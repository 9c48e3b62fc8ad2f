"""Figures: tickets that go on learning new tasks, against the dense network; one per shift."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from raylot.analysis import words
from raylot.analysis.figures.material import Material, NothingToDrawError
from raylot.analysis.figures.panels import (
    draw_means,
    label_row,
    mark_empty,
    means_over_seeds,
    panel_grid,
    seeds_note,
    share_y,
)
from raylot.analysis.figures.style import BLACK, BLUE, GREY, ORANGE, PINK, Label, label_rows, note
from raylot.analysis.statistics.intervals import Mean, mean_interval
from raylot.analysis.tables.ticket_streams import dense_from_stream

#: Value of ``subnetwork`` -> name, colour.
_SUBNETWORKS = {
    "dense": ("dense", BLACK),
    "ticket": ("ticket", BLUE),
    "random": ("random", ORANGE),
    "reinit": ("reinit", PINK),
}
_MOST_SNAPSHOTS = 4
# With more tasks than this, markers would run into each other.
_MOST_MARKERS = 15


def streamed_shifts(material: Material) -> list[str]:
    """Names the shifts that get a figure each; ``[""]`` if ticket streams have one shift or
    none."""
    streamed = set(material.ticket_streams["shift"])
    found = [shift for shift in material.shifts if shift in streamed]
    return found if len(found) > 1 else [""]


def ticket_streams(material: Material, shift: str = "") -> Figure:
    """Test accuracy on the new tasks after a snapshot, a panel per snapshot and sparsity; at most
    four snapshots, the first and the last among them. Each panel says by how much the ticket is
    better than the dense network, paired by seed. Means over seeds with 95% t intervals.

    Args:
        material: of one setting.
        shift: whose ticket streams are drawn, one of `streamed_shifts`.

    Raises:
        NothingToDrawError: there are no ticket streams.
    """
    rows = material.ticket_streams
    if rows.empty:
        raise NothingToDrawError("no ticket streams were trained here")
    shift = shift or str(rows["shift"].iloc[0])
    rows = rows[rows["shift"] == shift]
    stream = material.tasks[material.tasks["shift"] == shift]
    snapshots = sorted(int(task) for task in rows["snapshot"].unique())
    shown = [
        snapshots[index]
        for index in dict.fromkeys(
            np.linspace(0, len(snapshots) - 1, min(_MOST_SNAPSHOTS, len(snapshots))).round()
            .astype(int).tolist()
        )
    ]  # fmt: skip
    own_dense = "dense" in set(rows["subnetwork"])
    if not own_dense:
        rows = pd.concat([rows, dense_from_stream(rows, stream)], ignore_index=True)
    rows = rows.assign(new_task=rows["task"] - rows["snapshot"])
    sparsities = sorted(float(s) for s in rows["sparsity"].dropna().unique()) or [np.nan]
    names = {task: f"from snapshot {task}" for task in shown}
    figure, panels = panel_grid(
        list(names.values()), len(sparsities), 1.5, "Task after the snapshot", {}
    )
    labels: list[Label] = []
    for task, name in names.items():
        from_here = rows[rows["snapshot"] == task]
        for axes, sparsity in zip(panels[name], sparsities, strict=True):
            part = from_here[(from_here["sparsity"] == sparsity) | from_here["sparsity"].isna()]
            labels += _draw_panel(axes, part)
    scales = share_y(figure.axes)
    for row, sparsity in enumerate(sparsities):
        heading = "" if np.isnan(sparsity) else f"sparsity {sparsity:g}\n"
        label_row(panels, row, f"{heading}Test accuracy")
    note(
        figure,
        material.title,
        f"{shift}.",
        seeds_note(rows),
        scales,
        "Ticket - dense: mean over the new tasks of the difference within each seed.",
        ""
        if own_dense
        else "Dense: the stream itself on the same tasks, as no dense network was "
        "trained from the snapshots.",
        f"{len(shown)} of {len(snapshots)} snapshots are shown."
        if len(shown) < len(snapshots)
        else "",
    )
    label_rows(labels)
    return figure


def paired_difference(rows: pd.DataFrame) -> Mean | None:
    """Mean over seeds of how much better the ticket is than the dense network, over the new tasks
    that both have; None if no seed has both.

    Args:
        rows: ``seed``, ``task``, ``subnetwork``, ``test_accuracy``.
    """
    given = rows[np.isfinite(rows["test_accuracy"].astype(float))]
    wide = given.pivot_table(index=["seed", "task"], columns="subnetwork", values="test_accuracy")
    if not {"ticket", "dense"} <= set(wide.columns):
        return None
    return mean_interval((wide["ticket"] - wide["dense"]).dropna().groupby("seed").mean())


def _draw_panel(axes: Axes, rows: pd.DataFrame) -> list[Label]:
    labels: list[Label] = []
    marker = "o" if rows["new_task"].nunique() <= _MOST_MARKERS else None
    for subnetwork, (name, colour) in _SUBNETWORKS.items():
        own = rows[rows["subnetwork"] == subnetwork]
        means = means_over_seeds(own, "test_accuracy", "new_task")
        labels += draw_means(axes, means, colour, marker, name=name)
    mark_empty(axes)
    difference = paired_difference(rows)
    if difference is not None:
        text = "ticket - dense " + words.figure(difference, "+.3f", separator="\n")
        axes.annotate(
            text, (0.03, 0.03), xycoords="axes fraction", fontsize=5.5, color=GREY, va="bottom"
        )
        bottom, top = axes.get_ylim()
        axes.set_ylim(bottom - 0.25 * (top - bottom), top)
    return labels
