"""Figure: how far tickets consist of the most plastic parameters, along the snapshots."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from raylot.analysis.figures.material import Material, NothingToDrawError
from raylot.analysis.figures.panels import (
    draw_chance,
    draw_means,
    mark_empty,
    means_over_seeds,
    search_grid,
    seeds_note,
    share_y,
)
from raylot.analysis.figures.style import BLUE, GREEN, VERMILION, Label, label_rows, note
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
    measured = set(rows["shift"])
    colours = {shift: c for shift, c in material.shift_colours.items() if shift in measured}
    figure, parts = search_grid(rows, colours, 1.35, "Task of the stream", "Jaccard index")
    labels: list[Label] = []
    for axes, _, part in parts:
        for selection, (name, colour, marker) in _SELECTIONS.items():
            own = part[part["selection"] == selection]
            means = means_over_seeds(own, "jaccard")
            labels += draw_means(axes, means, colour, marker, name=name)
            draw_chance(axes, own, "chance", colour)
    for axes in figure.axes:
        mark_empty(axes)
    share_y(figure.axes, least=0)
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
