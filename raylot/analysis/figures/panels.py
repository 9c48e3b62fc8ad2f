"""Building blocks of figures: grids of panels, and lines of means over seeds with bands."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from raylot.analysis.figures import style
from raylot.analysis.statistics.intervals import Mean, mean_interval
from raylot.analysis.tables.measures import measure
from raylot.analysis.tables.observations import Search, groups, search_labels

_MOST_COLUMNS = 4


def panel_grid(
    names: Sequence[str],
    rows: int,
    row_height: float,
    x_label: str,
    colours: Mapping[str, str],
    share_x: bool = True,
) -> tuple[Figure, dict[str, list[Axes]]]:
    """A column of panels per name; after four columns the next block of rows begins.

    Args:
        names: titles of the columns.
        rows: panels of each column.
        row_height: in inches.
        x_label: written below the grid.
        colours: of the titles; black for a name that has none.
        share_x: whether all panels have the same x axis.

    Returns:
        The figure, and each name's panels from top to bottom.
    """
    columns = min(_MOST_COLUMNS, len(names))
    blocks = math.ceil(len(names) / columns)
    width = style.SINGLE_COLUMN if columns == 1 else style.DOUBLE_COLUMN
    figure = Figure(figsize=(width, 0.7 + (0.25 + row_height * rows) * blocks))
    grid = figure.subplots(rows * blocks, columns, sharex=share_x, squeeze=False)
    panels: dict[str, list[Axes]] = {}
    for index, name in enumerate(names):
        top = index // columns * rows
        panels[name] = list(grid[top : top + rows, index % columns])
        panels[name][0].set_title(
            name, color=colours.get(name, "black"), fontsize=8 if columns < 3 else 7
        )
    used = {axes for own in panels.values() for axes in own}
    for column in grid.T:
        lowest = [axes for axes in column if axes in used][-1]
        lowest.set_xlabel(x_label)
        lowest.tick_params(labelbottom=True)
    for axes in grid.flat:
        axes.set_visible(axes in used)
        axes.xaxis.set_major_locator(
            MaxNLocator(5, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1)
        )
        axes.yaxis.set_major_locator(MaxNLocator(4))
    return figure, panels


def label_row(panels: Mapping[str, Sequence[Axes]], row: int, text: str) -> None:
    """Writes a row's y label, at the left end of each block."""
    for own in panels.values():
        if style.grid_place(own[row]).is_first_col():
            own[row].set_ylabel(text)


def in_two_lines(name: str) -> str:
    """Returns a measure's label with its unit below: a y label that fits beside a low panel."""
    return measure(name).axis_label.replace(" (", "\n(")


def search_grid(
    rows: pd.DataFrame,
    colours: Mapping[str, str],
    row_height: float,
    x_label: str,
    y_label: str,
    share_x: bool = True,
) -> tuple[Figure, list[tuple[Axes, str, pd.DataFrame]]]:
    """A column of panels per shift, with a panel per sparsity: see `panel_grid`.

    Args:
        rows: what is drawn.
        colours: of the shifts, in their order.
        row_height, x_label, share_x: as for `panel_grid`.
        y_label: follows each sparsity.

    Returns:
        The figure, and each panel with the shift and the rows that are drawn there.
    """
    names = search_labels(rows)
    figure, panels = panel_grid(list(colours), len(names), row_height, x_label, colours, share_x)
    for row, name in enumerate(names.values()):
        label_row(panels, row, f"{name}\n{y_label}")
    parts = groups(rows, with_all_shifts=False)
    return figure, [
        (panels[shift][list(names).index((s, r))], shift, part) for (shift, s, r), part in parts
    ]


def share_y(row: Sequence[Axes], least: float = 0.15) -> str:
    """Gives panels the same y axis, unless one of them would then use less than a share of it.

    No point comes nearer to the frame than the usual margin: by itself, a panel with a single point
    has next to none.

    Args:
        row: panels of the same quantity.
        least: that share.

    Returns:
        What the figure's note has to say of it: nothing, or that scales differ.
    """
    spans = {axes: axes.get_ylim() for axes in row if axes.has_data() and axes.get_lines()}
    if not spans:
        return ""
    low, high = min(span[0] for span in spans.values()), max(span[1] for span in spans.values())
    if min(top - bottom for bottom, top in spans.values()) < least * (high - low):
        return "Vertical scales differ between panels."
    bottom, top = min(axes.dataLim.y0 for axes in spans), max(axes.dataLim.y1 for axes in spans)
    margin = rcParams["axes.ymargin"] * (top - bottom)
    low, high = min(low, bottom - margin), max(high, top + margin)
    for axes in row:
        axes.set_ylim(low, high)
        if not style.grid_place(axes).is_first_col():
            axes.tick_params(labelleft=False)
    return ""


def means_over_seeds(frame: pd.DataFrame, column: str, x: str = "task") -> dict[float, Mean]:
    """Computes mean and interval over seeds at each x, after averaging each seed's own values.

    Args:
        frame: rows with ``seed``, ``x`` and ``column``; values that are not finite are left out.
        column: what is averaged.
        x: what the means are taken at.
    """
    given = frame[np.isfinite(frame[column].astype(float))]
    by_seed = given.groupby([x, "seed"])[column].mean()
    places, values = by_seed.index.get_level_values(0).to_numpy(), by_seed.to_numpy()
    starts = np.flatnonzero(np.r_[len(places) > 0, places[1:] != places[:-1]])
    # One frame per place would take most of the time.
    found = {
        float(str(places[start])): mean_interval(own)
        for start, own in zip(starts, np.split(values, starts[1:]), strict=False)
    }
    return {at: mean for at, mean in found.items() if mean is not None}


def draw_means(
    axes: Axes,
    means: Mapping[float, Mean],
    colour: str,
    marker: str | None = "o",
    band_alpha: float = 0.18,
    name: str = "",
    **line: Any,
) -> list[style.Label]:
    """Draws a line of means and the band of their intervals.

    Args:
        axes: where.
        means: at each x; a single seed has no band.
        colour: of line and band.
        marker: at each mean, or none.
        band_alpha: opacity of the band.
        name: of the line.
        line: more about the line, as for matplotlib.

    Returns:
        The line's name, to be written at its end; nothing if there is nothing to draw.
    """
    if not means:
        return []
    values = [mean.mean for mean in means.values()]
    axes.plot(list(means), values, color=colour, marker=marker, **{"markersize": 2.8, **line})
    _draw_band(axes, means, colour, band_alpha)
    if len(means) == 1:  # so that its task is the only tick
        [(x, mean)] = means.items()
        axes.update_datalim([(x - 0.5, mean.mean), (x + 0.5, mean.mean)])
    return [style.Label(axes, list(means)[-1], values[-1], name, colour)]


def draw_tasks(
    axes: Axes,
    tasks: pd.DataFrame,
    snapshots: pd.DataFrame,
    column: str,
    colour: str,
    marker: str = "o",
    band_alpha: float = 0.18,
    name: str = "",
) -> list[style.Label]:
    """Draws a line through every task's mean, and a point at each snapshot's.

    Where tasks have no such value, the line goes from snapshot to snapshot.

    Args:
        axes: where.
        tasks: rows of ``tasks``.
        snapshots: rows with ``seed``, ``task`` and the column.
        column: what is drawn.
        colour, marker, band_alpha, name: see `draw_means`; the points have the marker.

    Returns:
        What `draw_means` returns.
    """
    points = means_over_seeds(snapshots, column)
    line = means_over_seeds(tasks, column) if column in tasks else {}
    if not line:
        return draw_means(axes, points, colour, marker, band_alpha, name)
    draw_means(axes, points, colour, marker, band_alpha=0, linestyle="none")
    return draw_means(axes, line, colour, None, band_alpha, name)


def _draw_band(axes: Axes, means: Mapping[float, Mean], colour: str, alpha: float) -> None:
    """Draws the intervals of means as a band; a mean of one seed has none."""
    bands = [
        (x, mean.low, mean.high)
        for x, mean in means.items()
        if mean.low is not None and mean.high is not None
    ]
    if len(bands) == 1:  # a band of no width would not be seen
        axes.vlines(*bands[0], color=colour, linewidth=0.8)
    elif bands:
        xs, low, high = zip(*bands, strict=True)
        axes.fill_between(xs, low, high, color=colour, alpha=alpha, linewidth=0)


def draw_chance(axes: Axes, frame: pd.DataFrame, column: str, colour: str) -> None:
    """Draws the mean of a chance level as a dashed line."""
    chance = frame.groupby("task")[column].mean().dropna()
    if len(chance) == 1:
        axes.plot(chance.index, chance, color=colour, marker="_", markersize=7)
    elif len(chance):
        axes.plot(chance.index, chance, color=colour, linestyle=(0, (4, 2)), linewidth=0.8)


def search_colours(frame: pd.DataFrame) -> dict[Search, str]:
    """A colour per sparsity and number of rounds."""
    return dict(zip(search_labels(frame), itertools.cycle(style.SPARSITY_COLOURS), strict=False))


def draw_searches(
    axes: Axes, frame: pd.DataFrame, column: str, whole: pd.DataFrame
) -> list[style.Label]:
    """Draws one shift's means of a column, a line per sparsity; returns the lines' names.

    Args:
        axes: where.
        frame: observations of one shift.
        column: what is drawn.
        whole: observations of the setting, which decide colours and names.
    """
    colours, names = search_colours(whole), search_labels(whole)
    labels = []
    for (_, sparsity, rounds), part in groups(frame, with_all_shifts=False):
        name, colour = names[sparsity, rounds], colours[sparsity, rounds]
        labels += draw_means(axes, means_over_seeds(part, column), colour, name=name)
    return labels


def mark_empty(axes: Axes) -> None:
    """Writes "no finite values" into a panel without lines."""
    if not axes.get_lines():
        axes.text(
            0.5, 0.5, "no finite values", transform=axes.transAxes, ha="center", va="center",
            color=style.GREY, fontsize=6.5,
        )  # fmt: skip


def seeds_note(frame: pd.DataFrame, shown_by: str = "bands") -> str:
    """Explains bands (or bars) and the number of seeds behind them."""
    counts = frame.groupby("shift")["seed"].nunique()
    low, high = int(counts.min()), int(counts.max())
    if high == 1:
        return "One seed, so no intervals."
    seeds = f"{low}" if low == high else f"{low} to {high}"
    return f"Means over {seeds} seeds; {shown_by}: 95% t intervals over seeds."
