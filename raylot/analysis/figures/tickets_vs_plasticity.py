"""Figure: tickets against plasticity along the stream, one panel per sparsity."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from raylot.analysis.figures import style
from raylot.analysis.figures.material import Material
from raylot.analysis.figures.panels import in_two_lines, search_grid, seeds_note
from raylot.analysis.statistics.intervals import Mean, mean_interval
from raylot.analysis.tables.measures import PRIMARY_PLASTICITY, PRIMARY_TICKETS, measure
from raylot.analysis.tables.observations import groups, search_labels
from raylot.foundation.names import STATIONARY

#: A task, and the means of x and y over the seeds of its snapshot.
Snapshot = tuple[int, Mean, Mean]

# More shifts than this do not share a panel.
_MOST_TOGETHER = 3

#: The primary pair first; the other measure where a storage lacks probe tasks or random masks.
_PLASTICITY = (PRIMARY_PLASTICITY, "test_accuracy")
_TICKETS = (PRIMARY_TICKETS, "ticket_count")

#: What the accuracy in the stationary control does not say.
_OF_CONTROL = (
    "The control is measured on data that it had trained on: only probe tasks (--probe-tasks) can "
    "tell whether it still learns data that it has not seen."
)


def tickets_vs_plasticity(material: Material) -> Figure:
    """Faint points: single seeds. Large: means over seeds of each snapshot, with 95% t intervals
    both ways, joined in the order of tasks; the first and the last are labelled."""
    frame = material.frame
    drawn: dict[Axes, list[tuple[str, list[Snapshot]]]] = {}
    colours = material.shift_colours
    x, y = _measured(frame, _PLASTICITY), _measured(frame, _TICKETS)
    labels = measure(x).axis_label, in_two_lines(y)
    if len(material.shifts) <= _MOST_TOGETHER:
        figure, parts = _panel_per_search(material, colours, *labels)
    else:  # in one panel they would hide one another
        figure, parts = search_grid(frame, colours, 1.4, *labels, share_x=False)
    for axes, shift, part in parts:
        points = part[["seed", "task"]].assign(x=part[x], y=part[y])
        finite = points.replace([np.inf, -np.inf], np.nan).dropna()
        means = _draw(axes, finite, colours[shift])
        drawn.setdefault(axes, []).append((colours[shift], means))
    for axes in drawn:
        axes.margins(0.12, 0.12)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    style.note(
        figure,
        material.title,
        seeds_note(frame, shown_by="bars"),
        "Faint: single seeds; joined in the order of tasks.",
        "Another kind of processor moves the means as other seeds would.",
        _OF_CONTROL if x == "test_accuracy" and STATIONARY in material.shifts else "",
    )
    style.lay_out(figure)
    for axes, lines in drawn.items():
        ends = [
            (across.mean, up.mean, f"task {task}", colour)
            for colour, means in lines
            for task, across, up in dict.fromkeys([*means[:1], *means[-1:]])
        ]
        style.place_labels(axes, ends, [point for _, means in lines for point in _covered(means)])
    return figure


def _measured(frame: pd.DataFrame, names: Sequence[str]) -> str:
    """Returns the first measure that has a number; the last one if none has."""
    has_number = (name for name in names if name in frame and np.isfinite(frame[name]).any())
    return next(has_number, names[-1])


def _panel_per_search(
    material: Material, colours: Mapping[str, str], x_label: str, y_label: str
) -> tuple[Figure, list[tuple[Axes, str, pd.DataFrame]]]:
    """Few shifts share a panel, and a key above all panels; returns what `search_grid` does."""
    names = search_labels(material.frame)
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    width = style.SINGLE_COLUMN if columns == 1 else style.DOUBLE_COLUMN
    figure = Figure(figsize=(width, 0.7 + 2.5 * rows))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    panels = dict(zip(names, grid.flat, strict=False))
    for axes in list(grid.flat)[len(names) :]:
        axes.set_visible(False)
    for search, name in names.items():
        panels[search].set_title(name)
    for column in grid.T:
        lowest = [axes for axes in column if axes.get_visible()][-1]
        lowest.set_xlabel(x_label)
        lowest.tick_params(labelbottom=True)
    for axes in grid[:, 0]:
        axes.set_ylabel(y_label)
    handles: list[Any] = [
        Line2D([], [], color=colour, marker="o", markersize=4, label=shift)
        for shift, colour in colours.items()
    ]
    figure.legend(
        handles=handles, loc="outside upper center", ncols=4, frameon=False, labelcolor="linecolor"
    )
    parts = groups(material.frame, with_all_shifts=False)
    return figure, [(panels[s, r], shift, part) for (shift, s, r), part in parts]


def _draw(axes: Axes, part: pd.DataFrame, colour: str) -> list[Snapshot]:
    """Draws one shift; returns its means in the order of tasks."""
    axes.plot(part["x"], part["y"], ".", color=colour, alpha=0.35, markersize=4, markeredgewidth=0)
    means: list[Snapshot] = []
    for task, snapshot in part.groupby("task"):
        x, y = mean_interval(snapshot["x"]), mean_interval(snapshot["y"])
        if x is not None and y is not None:
            means.append((int(str(task)), x, y))
    if means:
        axes.errorbar(
            [x.mean for _, x, _ in means], [y.mean for _, _, y in means],
            xerr=[_half(x) for _, x, _ in means], yerr=[_half(y) for _, _, y in means],
            color=colour, marker="o", markersize=4.5, linewidth=1, elinewidth=0.6,
        )  # fmt: skip
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
    return mean.half or 0.0
