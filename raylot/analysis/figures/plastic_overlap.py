"""Figure: how far tickets consist of the most plastic parameters, along the snapshots."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from raylot.analysis.figures.material import Material, NothingToDrawError
from raylot.analysis.figures.panels import (
    draw_chance,
    draw_means,
    label_row,
    mark_empty,
    means_over_seeds,
    panel_grid,
    search_labels,
    seeds_note,
    share_y,
)
from raylot.analysis.figures.style import (
    BLUE,
    GREEN,
    VERMILION,
    Label,
    label_rows,
    note,
    shift_colours,
)
from raylot.analysis.tables.observations import groups
from raylot.foundation.names import WHOLE_NETWORK

#: Value of ``selection`` -> name, colour and marker.
_SELECTIONS = {
    "first": ("first ticket", BLUE, "o"),
    "union": ("union", VERMILION, "^"),
    "intersection": ("intersection", GREEN, "s"),
}


def plastic_overlap(material: Material) -> Figure:
    """Jaccard overlap of the most plastic parameters with the first ticket, and with the union and
    the intersection of all tickets, each with its chance level (dashed); a panel per shift and
    sparsity. Means over seeds with 95% t intervals.

    Raises:
        NothingToDrawError: they were not measured.
    """
    rows = material.plastic_parameters
    rows = rows[rows["layer"] == WHOLE_NETWORK]
    if not np.isfinite(rows["jaccard"].astype(float)).any():
        raise NothingToDrawError("no overlaps with plastic parameters in this storage")
    names = search_labels(rows)
    shifts = [shift for shift in material.shifts if shift in set(rows["shift"])]
    colours = shift_colours(shifts)
    figure, panels = panel_grid(shifts, len(names), 1.35, "Task of the stream", colours)
    labels: list[Label] = []
    for (shift, sparsity, rounds), part in groups(rows, with_all_shifts=False):
        axes = panels[shift][list(names).index((sparsity, rounds))]
        for selection, (name, colour, marker) in _SELECTIONS.items():
            own = part[part["selection"] == selection]
            end = draw_means(axes, means_over_seeds(own, "jaccard"), colour, marker)
            labels += [] if end is None else [Label(axes, *end, name, colour)]
            draw_chance(axes, own, "chance", colour)
    for own_panels in panels.values():
        for axes in own_panels:
            mark_empty(axes)
    share_y([axes for own_panels in panels.values() for axes in own_panels], least=0)
    for row, name in enumerate(names.values()):
        label_row(panels, row, f"{name}\nJaccard index")
    note(
        figure,
        material.title,
        "Overlap of the most plastic parameters (largest mean |gradient|) with the first ticket, "
        "and with the union and the intersection of all tickets.",
        seeds_note(rows),
        "Dashed: chance level.",
    )
    label_rows(labels)
    return figure
