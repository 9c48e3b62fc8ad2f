"""Figure: accuracy of tickets, their controls and the dense network along the snapshots."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from raylot.analysis.figures import style
from raylot.analysis.figures.material import Material, NothingToDrawError
from raylot.analysis.figures.panels import (
    draw_means,
    mark_empty,
    means_over_seeds,
    search_grid,
    seeds_note,
    share_y,
)

#: Column of ``snapshots`` -> name, colour and marker.
NETWORKS = {
    "dense_accuracy": ("dense", style.BLACK, "s"),
    "ticket_accuracy": ("tickets", style.BLUE, "o"),
    "untrained_accuracy": ("untrained", style.VERMILION, "P"),
    "random_accuracy": ("random", style.ORANGE, "^"),
    "rewired_accuracy": ("rewired", style.GREEN, "v"),
    "reinit_accuracy": ("reinit", style.PINK, "D"),
    "supermask_accuracy": ("supermasks", style.SKY, "X"),
}
_EXPLAINED = {
    "untrained_accuracy": "untrained: masks of the snapshots' largest weights;",
    "random_accuracy": "random: random masks;",
    "rewired_accuracy": "rewired: random masks with each unit's degrees;",
    "reinit_accuracy": "reinit: tickets from a fresh initialisation;",
    "supermask_accuracy": "supermasks: tickets without any training;",
}
# Height of the strip that shows the share of winning tickets, as a share of the panel.
_STRIP = 0.13


def tickets_and_controls(material: Material) -> Figure:
    """Test accuracies at each snapshot, a panel per shift and sparsity; the strip at the bottom of
    a panel shows which share of the tickets wins. Means over seeds with 95% t intervals.

    Raises:
        NothingToDrawError: no network of a snapshot has an accuracy.
    """
    rows = material.snapshots
    drawn = [name for name in NETWORKS if np.isfinite(rows[name].astype(float)).any()]
    if not drawn:
        raise NothingToDrawError("no tickets or controls with an accuracy")
    figure, parts = search_grid(
        rows, material.shift_colours, 1.35, "Task of the stream", "Test accuracy"
    )
    labels: list[style.Label] = []
    for axes, _, part in parts:
        for column in drawn:
            name, colour, marker = NETWORKS[column]
            labels += draw_means(axes, means_over_seeds(part, column), colour, marker, name=name)
    for axes in figure.axes:
        mark_empty(axes)
    scales = share_y(figure.axes)
    won = [_draw_winners(axes, part) for axes, _, part in parts]
    explained = [_EXPLAINED[name] for name in drawn if name in _EXPLAINED]
    style.note(
        figure,
        material.title,
        seeds_note(rows),
        scales,
        *explained,
        "grey bars: share of the tickets that win (frame: all)." if any(won) else "",
    )
    style.label_rows(labels)
    return figure


def winning_share(rows: pd.DataFrame) -> pd.Series[float]:
    """Winning tickets as a share of all tickets of each task; tasks without both are left out."""
    given = rows.dropna(subset=["winning_tickets", "tickets"])
    totals = given.groupby("task")[["winning_tickets", "tickets"]].sum()
    return (totals["winning_tickets"] / totals["tickets"]).dropna()


def _draw_winners(axes: Axes, rows: pd.DataFrame) -> bool:
    """Draws the strip below the lines; returns whether there is anything to show."""
    shares = winning_share(rows)
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom - 1.6 * _STRIP * (top - bottom), top)
    if shares.empty:
        return False
    tasks = shares.index.to_numpy(dtype=float)
    width = min(0.35 * np.diff(tasks).min(), 0.06 * np.ptp(tasks)) if len(tasks) > 1 else 0.06
    place: dict[str, Any] = {"width": width, "transform": axes.get_xaxis_transform(), "zorder": 0}
    frame = np.full(len(tasks), _STRIP)
    axes.bar(
        tasks, frame, facecolor="none", edgecolor=style.GREY, linewidth=0.3, alpha=0.7, **place
    )
    axes.bar(tasks, _STRIP * shares, color=style.GREY, alpha=0.5, linewidth=0, **place)
    return True
