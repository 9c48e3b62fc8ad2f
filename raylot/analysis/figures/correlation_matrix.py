"""Figures: correlations of ticket measures with measures of plasticity."""

from __future__ import annotations

import math
import re
import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from raylot.analysis.figures import style
from raylot.analysis.figures.material import Material, NothingToDrawError
from raylot.analysis.statistics.coefficients import STATISTICS
from raylot.analysis.statistics.intervals import Array
from raylot.analysis.tables.measures import ALL_SHIFTS, measure
from raylot.analysis.tables.observations import groups, search_labels
from raylot.analysis.words import correlation, counted

# In inches; a number needs the narrowest cell.
_LABEL_WIDTH, _CELL_HEIGHT, _NARROWEST_CELL, _WIDEST_CELL = 1.75, 0.155, 0.2, 0.42
_ROOM = style.DOUBLE_COLUMN - _LABEL_WIDTH
_DRAWN = ("estimate", "low", "high")
# Lines of panels that fit on a page.
_MOST_LINES = 3


def matrix_parts(material: Material) -> list[str]:
    """Names the searches that get a figure each; ``[""]`` if all of them fit on one page."""
    searches = search_labels(material.frame)
    shifts = dict.fromkeys(shift for (shift, *_), _ in groups(material.frame))
    lines = _lines(len(shifts), len(material.shown_tickets))
    if len(searches) * lines <= _MOST_LINES or len(searches) == 1:
        return [""]
    return list(map(_ending, searches.values()))


def correlation_matrix(material: Material, part: str = "", *, statistic: str) -> Figure:
    """A panel per shift (and one of all shifts together) and sparsity, a row per plasticity
    measure, a column per ticket measure, the estimate in every cell. Pale cells have an interval
    that covers 0, or none. The main measures are shown, or all if the material says so.

    Args:
        material: of one setting.
        part: the search that is drawn, one of `matrix_parts`; empty: all.
        statistic: one of `coefficients.STATISTICS`.

    Raises:
        NothingToDrawError: no such correlation exists.
    """
    found = material.correlations(statistic)
    if found["estimate"].isna().all():
        raise NothingToDrawError("too few snapshots for a correlation")
    searches = {
        search: name
        for search, name in search_labels(material.frame).items()
        if part in ("", _ending(name))
    }
    shifts = sorted(dict.fromkeys(found["shift"]), key=lambda shift: shift == ALL_SHIFTS)
    names = ("plasticity_measure", "ticket_measure")
    rows, columns = (list(dict.fromkeys(found[name])) for name in names)
    lines = _lines(len(shifts), len(columns))
    per_line = math.ceil(len(shifts) / lines)
    cell = min(_WIDEST_CELL, _ROOM / (per_line * len(columns)))
    width = _LABEL_WIDTH + cell * per_line * len(columns)
    height = lines * len(searches) * (len(rows) * _CELL_HEIGHT + 0.3) + 1.6
    figure = Figure(figsize=(max(style.SINGLE_COLUMN, width), height))
    grid = figure.subplots(
        lines * len(searches), per_line, sharex=True, sharey=True, squeeze=False
    )  # fmt: skip
    parts = dict(groups(found, with_all_shifts=False))
    blocks = np.split(grid, len(searches))
    for ((sparsity, rounds), name), block in zip(searches.items(), blocks, strict=True):
        for line in block:
            line[0].set_ylabel(name)
        for axes in block.flat[len(shifts) :]:
            axes.set_visible(False)
        for axes, shift in zip(block.flat, shifts, strict=False):
            own = parts[shift, sparsity, rounds]
            wide = (own.pivot(index=names[0], columns=names[1], values=v) for v in _DRAWN)
            squares = (
                square.reindex(index=rows, columns=columns).to_numpy(float) for square in wide
            )
            _draw(axes, min(6.5, 20 * cell), *squares)
            axes.set_title(
                "all shifts" if shift == ALL_SHIFTS else shift,
                fontsize=min(7.0, 7.0 * cell * len(columns) / 0.9),
                color=material.shift_colours.get(shift, "black"),
            )
    for axes in grid[:, 0]:
        axes.set_yticks(range(len(rows)), [measure(name).label for name in rows])
    labels = [textwrap.fill(measure(name).label, 20) for name in columns]
    for axes in grid[-1]:
        axes.set_xticks(range(len(columns)), labels, rotation=90, fontsize=6.5)
    left_out = f"{counted(material.left_out, 'measure')} left out: raylot analyse figures STORAGE "
    style.note(
        figure,
        material.title,
        f"Correlations: {STATISTICS[statistic].label}. {style.CORRELATION_KEY}",
        f"{left_out}--measures all shows all." if material.left_out else "",
    )
    return figure


def _ending(name: str) -> str:
    """A search's name as the end of a file's."""
    return re.sub(r"[^\w.]+", "_", name).strip("_")


def _lines(shifts: int, columns: int) -> int:
    """Returns how many lines a search's panels take; a panel has so many columns."""
    fitting = max(1, int(_ROOM / (_NARROWEST_CELL * max(1, columns))))
    return math.ceil(shifts / fitting)


def _draw(axes: Axes, fontsize: float, estimate: Array, low: Array, high: Array) -> None:
    """Draws one panel; arrays have shape (plasticity measures, ticket measures)."""
    colours = style.correlation_colours(estimate, (low > 0) | (high < 0))
    axes.imshow(colours, aspect="auto", interpolation="nearest")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for (row, column), value in np.ndenumerate(estimate):
        text = axes.text(
            column, row, correlation(value), ha="center", va="center", fontsize=fontsize,
            color=style.ink_on(colours[row, column]),
        )  # fmt: skip
        text.set_in_layout(False)  # it lies within its cell: measuring all of them takes long
