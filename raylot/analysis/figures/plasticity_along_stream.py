"""Figure: every measure of plasticity along the snapshots, a line per shift."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from raylot.analysis.figures.material import Material, NothingToDrawError
from raylot.analysis.figures.panels import draw_tasks, means_over_seeds, panel_grid, seeds_note
from raylot.analysis.figures.style import (
    Label,
    grid_place,
    label_rows,
    note,
)
from raylot.analysis.statistics.intervals import Mean
from raylot.analysis.tables.measures import measure

_ARROWS = {1: "\u00a0↑", -1: "\u00a0↓", 0: ""}
# Values that are no fractions and span more than this factor get a logarithmic axis.
_MOST_SPREAD = 30


def plasticity_along_stream(material: Material) -> Figure:
    """A panel per measure; an arrow in its title points to where the network is plastic. Means
    over seeds with 95% t intervals; an axis is logarithmic if values spread widely.

    Raises:
        NothingToDrawError: no measure has a value.
    """
    if not material.measures:
        raise NothingToDrawError("no measure of plasticity has a value")
    once = material.frame.drop_duplicates(["shift", "seed", "task"])
    colours, markers = material.shift_colours, material.shift_markers
    figure, panels = panel_grid(material.measures, 1, 1.15, "Task of the stream", {})
    labels: list[Label] = []
    for name, [axes] in panels.items():
        axes.set_title(_title(name), fontsize=7)
        rows = {shift: once[once["shift"] == shift] for shift in material.shifts}
        if _spread_widely([means_over_seeds(own, name) for own in rows.values()]):
            axes.set_yscale("log")
        alpha = 0.18 if len(rows) <= 3 else 0.07
        for shift, own in rows.items():
            tasks = material.tasks[material.tasks["shift"] == shift]
            style = (colours[shift], markers[shift], alpha, shift)
            labels += draw_tasks(axes, tasks, own, name, *style)
    note(
        figure,
        material.title,
        seeds_note(once),
        "Points: snapshots; a line between them shows every task where it was measured. Arrows "
        "point to where the literature calls a network plastic.",
    )
    label_rows([label for label in labels if grid_place(label.axes).is_first_row()])
    return figure


def _title(name: str) -> str:
    known = measure(name)
    label = known.label[0].upper() + known.label[1:] + _ARROWS[known.orientation]
    unit = [f"({known.unit})"] if known.unit else []
    return "\n".join([*textwrap.wrap(label, 26), *unit])


def _spread_widely(lines: Sequence[Mapping[float, Mean]]) -> bool:
    values = [mean.mean for means in lines for mean in means.values()]
    return bool(values) and min(values) > 0 and max(values) > _MOST_SPREAD * max(1, min(values))
