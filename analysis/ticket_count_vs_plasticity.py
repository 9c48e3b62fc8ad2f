"""Figure: ticket count against test accuracy, one panel per sparsity."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
from intervals import Mean, mean_interval
from material import Material
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from measures import measure, sparsity_label
from observations import groups, several_rounds
from style import DOUBLE_COLUMN, SINGLE_COLUMN, place_labels, shift_colours

#: A task, and the means of x and y over the seeds of its snapshot.
Snapshot = tuple[int, Mean, Mean]

_X, _Y = "test_accuracy", "ticket_count"


def ticket_count_vs_plasticity(material: Material) -> Figure:
    """Faint points: single seeds. Large: means over seeds of each snapshot, with 95% t intervals
    both ways, joined in the order of tasks; the first and the last are labelled."""
    frame = material.frame
    with_rounds = several_rounds(frame)
    panels: dict[str, list[tuple[str, pd.DataFrame]]] = {}
    for (shift, sparsity, rounds), part in groups(frame, with_all_shifts=False):
        title = f"sparsity {sparsity_label(sparsity, rounds if with_rounds else None)}"
        panels.setdefault(title, []).append((shift, part))
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    width = SINGLE_COLUMN if columns == 1 else DOUBLE_COLUMN
    figure = Figure(figsize=(width, 0.4 + 2.5 * rows))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    colours = shift_colours(sorted(frame["shift"].unique()))
    drawn: dict[Axes, list[tuple[str, list[Snapshot]]]] = {}
    for axes, (title, parts) in zip(grid.flat, panels.items(), strict=False):
        axes.set_title(title)
        drawn[axes] = [(colours[shift], _draw(axes, part, colours[shift])) for shift, part in parts]
        axes.margins(0.12, 0.12)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    handles: list[Any] = [
        Line2D([], [], color=colour, marker="o", markersize=4, label=shift)
        for shift, colour in colours.items()
    ]
    figure.legend(
        handles=handles, loc="outside upper center", ncols=4, frameon=False, labelcolor="linecolor"
    )
    figure.supxlabel(measure(_X).axis_label, fontsize=7.5)
    figure.supylabel(measure(_Y).axis_label, fontsize=7.5)
    for axes, lines in drawn.items():
        ends = [
            (x.mean, y.mean, f"task {task}", colour)
            for colour, means in lines
            for task, x, y in dict.fromkeys([*means[:1], *means[-1:]])
        ]
        place_labels(axes, ends, [point for _, means in lines for point in _covered(means)])
    return figure


def _draw(axes: Axes, part: pd.DataFrame, colour: str) -> list[Snapshot]:
    """Draws one shift; returns its means in the order of tasks."""
    axes.plot(part[_X], part[_Y], ".", color=colour, alpha=0.35, markersize=4, markeredgewidth=0)
    means: list[Snapshot] = []
    for task, snapshot in part.dropna(subset=[_X, _Y]).groupby("task"):
        x, y = mean_interval(snapshot[_X]), mean_interval(snapshot[_Y])
        if x is not None and y is not None:
            means.append((int(str(task)), x, y))
    if means:
        axes.errorbar(
            [x.mean for _, x, _ in means],
            [y.mean for _, _, y in means],
            xerr=[_half(x) for _, x, _ in means],
            yerr=[_half(y) for _, _, y in means],
            color=colour,
            marker="o",
            markersize=4.5,
            linewidth=1,
            elinewidth=0.6,
        )
    return means


def _covered(means: list[Snapshot]) -> list[tuple[float, float]]:
    """Points all along the error bars, and along the line that joins the means."""
    steps = np.linspace(-1, 1, 9)
    points = [(x.mean + s * _half(x), y.mean) for _, x, y in means for s in steps]
    points += [(x.mean, y.mean + s * _half(y)) for _, x, y in means for s in steps]
    for (_, x, y), (_, next_x, next_y) in itertools.pairwise(means):
        for share in (0.15, 0.3, 0.5, 0.7, 0.85):
            across, up = next_x.mean - x.mean, next_y.mean - y.mean
            points.append((x.mean + share * across, y.mean + share * up))
    return points


def _half(mean: Mean) -> float:
    return 0.0 if mean.high is None else mean.high - mean.mean
