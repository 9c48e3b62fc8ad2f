"""Figure: test accuracy along the stream, smoothed; all shifts and interventions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from raylot.analysis.figures import style
from raylot.analysis.figures.material import Material, NothingToDrawError
from raylot.analysis.figures.panels import (
    draw_means,
    label_row,
    means_over_seeds,
    panel_grid,
    seeds_note,
    share_y,
)

_COLUMN = "test_accuracy"
# Lines of more shifts than this hide one another, or lie too far apart to see a slope.
_MOST_TOGETHER = 3


def accuracy_along_stream(materials: Sequence[Material]) -> Figure:
    """Each seed's test accuracy is smoothed by a centred mean; lines are means over seeds with
    their 95% t intervals, faint lines the means of what was not smoothed. One panel with a line
    per shift; a panel per shift if there are many, or several interventions: a line for each.

    Args:
        materials: settings that differ in their intervention only.

    Raises:
        NothingToDrawError: no task has an accuracy.
    """
    tasks = pd.concat([material.tasks for material in materials], ignore_index=True)
    tasks = tasks[np.isfinite(tasks[_COLUMN].astype(float))]
    if tasks.empty:
        raise NothingToDrawError("no stream has an accuracy")
    window = smoothing_window(int(tasks["task"].max()) + 1)
    shifts = [shift for m in materials for shift in m.shifts if shift in set(tasks["shift"])]
    shifts = list(dict.fromkeys(shifts))
    colours = {shift: c for m in materials for shift, c in m.shift_colours.items()}
    together = len(materials) == 1 and len(shifts) <= _MOST_TOGETHER
    names = [""] if together else shifts
    figure, panels = panel_grid(names, 1, 1.7, "Task of the stream", colours)
    labels: list[style.Label] = []
    for name, [axes] in panels.items():
        own = tasks if together else tasks[tasks["shift"] == name]
        if len(materials) == 1:
            line_of, own_colours = "shift", {s: colours[s] for s in ([name] if name else shifts)}
        else:
            line_of, own_colours = "intervention", materials[0].intervention_colours
        for line, colour in own_colours.items():
            label = _draw(axes, own[own[line_of] == line], window, colour, line)
            labels += [] if line == name else label
    scales = share_y(figure.axes)
    label_row(panels, 0, "Test accuracy (fraction)")
    style.note(
        figure,
        materials[0].title if len(materials) == 1 else "",
        seeds_note(tasks),
        scales,
        f"Each seed is smoothed by a centred mean over {window} tasks (fewer at the ends); "
        "faint: not smoothed."
        if window > 1
        else "Not smoothed.",
    )
    style.label_rows(labels)
    return figure


def smoothing_window(tasks: int) -> int:
    """The odd number of tasks that is nearest to a twentieth of the stream; 3 at least, or 1 in a
    stream of fewer than 10 tasks."""
    return 1 if tasks < 10 else max(3, 2 * (tasks // 40) + 1)


def _draw(
    axes: Axes, tasks: pd.DataFrame, window: int, colour: str, name: str
) -> list[style.Label]:
    """Draws one line; returns its name, or nothing if there is no accuracy."""
    if tasks.empty:
        return []
    wide = tasks.pivot_table(index="seed", columns="task", values=_COLUMN)
    wide = wide.reindex(columns=range(int(tasks["task"].min()), int(tasks["task"].max()) + 1))
    if window > 1:
        raw = wide.mean()
        axes.plot(raw.index, raw, color=colour, linewidth=0.5, alpha=0.45, zorder=1)
    smoothed = wide.T.rolling(window, center=True, min_periods=1).mean().T.where(wide.notna())
    tidy = smoothed.melt(ignore_index=False, value_name=_COLUMN).reset_index()
    marker = "o" if len(smoothed.columns) == 1 else None
    return draw_means(axes, means_over_seeds(tidy, _COLUMN), colour, marker, name=name)
