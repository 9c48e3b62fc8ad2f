"""Figure: accuracy and overlap of tickets along the stream, one column per shift."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from intervals import mean_interval
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from measures import STATIONARY, sparsity_label
from observations import groups, several_rounds
from style import (
    DOUBLE_COLUMN,
    GREY,
    SINGLE_COLUMN,
    shift_colours,
    sparsity_colour,
    spread_labels,
)

#: A sparsity and its number of pruning rounds.
Search = tuple[float, int | None]


def along_stream(frame: pd.DataFrame, tasks: pd.DataFrame) -> Figure:
    """Upper row: test accuracy after training on each task (thin) and at the snapshots. Lower row:
    mean pairwise overlap of the tickets, and its chance level (dashed). Means over seeds with 95%
    t intervals.

    Args:
        frame: observations of one setting.
        tasks: rows of ``tasks`` of its streams.
    """
    shifts = sorted(frame["shift"].unique(), key=lambda shift: (shift == STATIONARY, shift))
    width = SINGLE_COLUMN if len(shifts) == 1 else max(DOUBLE_COLUMN, 2.2 * len(shifts))
    figure = Figure(figsize=(width, 3.8))
    grid = figure.subplots(2, len(shifts), sharex=True, sharey="row", squeeze=False)
    shift_colour = shift_colours(shifts)
    searches = {key[1:]: None for key, _ in groups(frame, with_all_shifts=False)}
    colours = {key: sparsity_colour(index) for index, key in enumerate(searches)}
    labels: dict[Search, tuple[Axes, float]] = {}  # each where it is drawn furthest right
    for (upper, lower), shift in zip(grid.T, shifts, strict=True):
        own = frame[frame["shift"] == shift]
        seeds = own["seed"].nunique()
        title = f"{shift}, {seeds} seed{'s' if seeds != 1 else ''}"
        upper.set_title(title, color=shift_colour[shift])
        _accuracy(upper, own, tasks[tasks["shift"] == shift], shift_colour[shift])
        labels |= {key: (lower, end) for key, end in _overlaps(lower, own, colours).items()}
        lower.set_xlabel("Task of the stream")
        lower.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    grid[0, 0].set_ylabel("Test accuracy\n(fraction)")
    grid[1, 0].set_ylabel("Mean pairwise overlap\n(Jaccard index)")
    figure.align_ylabels(grid[:, 0])
    with_rounds = several_rounds(frame)
    for lower in grid[1]:
        texts = [
            (end, f"sparsity {sparsity_label(key[0], key[1] if with_rounds else None)}", colour)
            for key, colour in colours.items()
            for axes, end in [labels.get(key, (None, 0.0))]
            if axes is lower
        ]
        spread_labels(lower, float(frame["task"].max()), texts)
    return figure


def _accuracy(axes: Axes, frame: pd.DataFrame, tasks: pd.DataFrame, colour: str) -> None:
    line = tasks.groupby("task")["test_accuracy"].mean()
    axes.plot(line.index, line.to_numpy(), color=colour, linewidth=0.5, alpha=0.6, zorder=1)
    once = frame.drop_duplicates(["seed", "task"])
    _mean_with_band(axes, once, "test_accuracy", colour)


def _overlaps(
    axes: Axes, frame: pd.DataFrame, colours: Mapping[Search, str]
) -> dict[Search, float]:
    """Draws all sparsities; returns where each one's line ends."""
    ends = {}
    highest: tuple[float, float] | None = None
    for (_, sparsity, rounds), part in groups(frame, with_all_shifts=False):
        key = (sparsity, rounds)
        end = _mean_with_band(axes, part, "overlap_mean", colours[key])
        if end is not None:
            ends[key] = end
        chance = part.groupby("task")["overlap_chance"].mean().dropna()
        axes.plot(chance.index, chance, color=colours[key], linestyle=(0, (4, 2)), linewidth=0.8)
        if len(chance) and (highest is None or chance.iloc[0] > highest[1]):
            highest = (float(chance.index[0]), float(chance.iloc[0]))
    if highest is not None:
        axes.annotate(
            "chance level (dashed)",
            highest,
            xytext=(0, 1.5),
            textcoords="offset points",
            va="bottom",
            color=GREY,
            fontsize=7,
        )
    return ends


def _mean_with_band(axes: Axes, frame: pd.DataFrame, column: str, colour: str) -> float | None:
    """Draws means and intervals over seeds; returns the last mean."""
    by_task = [(float(str(t)), mean_interval(p[column])) for t, p in frame.groupby("task")]
    means = {task: mean for task, mean in by_task if mean is not None}
    if not means:
        return None
    axes.plot(list(means), [m.mean for m in means.values()], color=colour, marker="o", markersize=3)
    bands = [(t, m.low, m.high) for t, m in means.items() if m.low is not None]
    if bands:
        tasks, low, high = zip(*bands, strict=True)
        axes.fill_between(tasks, low, high, color=colour, alpha=0.2, linewidth=0)
    return list(means.values())[-1].mean
