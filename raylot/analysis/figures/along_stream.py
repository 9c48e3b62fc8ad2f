"""Figure: accuracy and overlap of tickets along the stream, one column per shift."""

from __future__ import annotations

from matplotlib.figure import Figure

from raylot.analysis.figures.material import Material
from raylot.analysis.figures.panels import (
    draw_chance,
    draw_searches,
    draw_tasks,
    label_row,
    mark_empty,
    panel_grid,
    search_colours,
    seeds_note,
    share_y,
)
from raylot.analysis.figures.style import Label, label_rows, note
from raylot.analysis.tables.observations import groups


def along_stream(material: Material) -> Figure:
    """Upper row: test accuracy after training on each task; points mark the snapshots. Lower row:
    mean pairwise overlap of the tickets, and its chance level (dashed). Means over seeds with 95%
    t intervals."""
    frame, tasks = material.frame, material.tasks
    colours, searches = material.shift_colours, search_colours(frame)
    figure, panels = panel_grid(material.shifts, 2, 1.5, "Task of the stream", colours)
    labels: list[Label] = []
    for shift, (upper, lower) in panels.items():
        own = frame[frame["shift"] == shift]
        draw_tasks(upper, tasks[tasks["shift"] == shift], own, "test_accuracy", colours[shift])
        labels += draw_searches(lower, own, "overlap_mean", frame)
        for (_, sparsity, rounds), part in groups(own, with_all_shifts=False):
            draw_chance(lower, part, "overlap_chance", searches[sparsity, rounds])
        mark_empty(upper)
    scales = share_y([upper for upper, _ in panels.values()])
    share_y([lower for _, lower in panels.values()], least=0)
    label_row(panels, 0, "Test accuracy\n(fraction)")
    label_row(panels, 1, "Mean pairwise overlap\n(Jaccard index)")
    note(
        figure,
        material.title,
        seeds_note(frame),
        scales,
        "Upper line: every task of the stream. Points: snapshots. Dashed: chance level of the "
        "overlap.",
    )
    label_rows(labels)
    return figure
