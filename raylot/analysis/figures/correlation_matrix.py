"""Figures: correlations of ticket measures with measures of plasticity."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from raylot.analysis.figures.material import Material, NothingToDrawError
from raylot.analysis.figures.style import (
    CORRELATION_KEY,
    DOUBLE_COLUMN,
    SINGLE_COLUMN,
    correlation_colours,
    ink_on,
    note,
    shift_colours,
)
from raylot.analysis.statistics.coefficients import STATISTICS
from raylot.analysis.statistics.intervals import Array
from raylot.analysis.tables.measures import ALL_SHIFTS, measure
from raylot.analysis.tables.observations import Search, groups, search_labels
from raylot.analysis.words import correlation, counted

# In inches; a number needs the narrowest cell.
_LABEL_WIDTH, _CELL_HEIGHT, _NARROWEST_CELL, _WIDEST_CELL = 1.75, 0.155, 0.2, 0.42
_ROOM = DOUBLE_COLUMN - _LABEL_WIDTH
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
    return _Matrix(found, material.left_out).drawn(searches, material.title, statistic)


def _ending(name: str) -> str:
    """A search's name as the end of a file's."""
    return re.sub(r"[^\w.]+", "_", name).strip("_")


def _lines(shifts: int, columns: int) -> int:
    """Returns how many lines a search's panels take; a panel has so many columns."""
    fitting = max(1, int(_ROOM / (_NARROWEST_CELL * max(1, columns))))
    return math.ceil(shifts / fitting)


class _Matrix:
    """A matrix, divided into lines of panels."""

    def __init__(self, found: pd.DataFrame, left_out: int) -> None:
        self._found = found
        self._left_out = left_out
        self._rows = list(dict.fromkeys(found["plasticity_measure"]))
        self._columns = list(dict.fromkeys(found["ticket_measure"]))
        shifts = list(dict.fromkeys(found["shift"]))
        self._shifts = sorted(shifts, key=lambda shift: shift == ALL_SHIFTS)
        self.lines = _lines(len(self._shifts), len(self._columns))
        self._per_line = math.ceil(len(self._shifts) / self.lines)
        self._cell = min(_WIDEST_CELL, _ROOM / (self._per_line * len(self._columns)))

    def drawn(self, searches: Mapping[Search, str], title: str, statistic: str) -> Figure:
        """The panels of some searches."""
        lines = self.lines * len(searches)
        width = _LABEL_WIDTH + self._cell * self._per_line * len(self._columns)
        height = lines * (len(self._rows) * _CELL_HEIGHT + 0.3) + 1.6
        figure = Figure(figsize=(max(SINGLE_COLUMN, width), height))
        grid = figure.subplots(
            lines, self._per_line, sharex=True, sharey=True, squeeze=False
        ).tolist()
        for index, ((sparsity, rounds), name) in enumerate(searches.items()):
            found = self._found
            own_rounds = found["rounds"].isna() if rounds is None else found["rounds"] == rounds
            own = found[(found["sparsity"] == sparsity) & own_rounds]
            block = grid[index * self.lines : (index + 1) * self.lines]
            self._draw_search(block, own, name)
        self._name_measures(grid)
        note(
            figure,
            title,
            f"Correlations: {STATISTICS[statistic].label}. {CORRELATION_KEY}",
            f"{counted(self._left_out, 'measure')} left out: analysis/figures.py STORAGE "
            "--measures all shows all."
            if self._left_out
            else "",
        )
        return figure

    def _draw_search(self, block: Sequence[Sequence[Axes]], own: pd.DataFrame, name: str) -> None:
        colours = shift_colours(shift for shift in self._shifts if shift != ALL_SHIFTS)
        for line in block:
            line[0].set_ylabel(name)
        panels = [axes for line in block for axes in line]
        for axes in panels[len(self._shifts) :]:
            axes.set_visible(False)
        for axes, shift in zip(panels, self._shifts, strict=False):
            part = own[own["shift"] == shift]
            size = min(6.5, 20 * self._cell)
            _draw(axes, size, *(self._square(part, value) for value in ("estimate", "low", "high")))
            axes.set_title(
                "all shifts" if shift == ALL_SHIFTS else shift,
                fontsize=min(7.0, 7.0 * self._cell * len(self._columns) / 0.9),
                color=colours.get(shift, "black"),
            )

    def _square(self, part: pd.DataFrame, value: str) -> Array:
        """Shape (plasticity measures, ticket measures)."""
        wide = part.pivot(index="plasticity_measure", columns="ticket_measure", values=value)
        return wide.reindex(index=self._rows, columns=self._columns).to_numpy(dtype=float)

    def _name_measures(self, grid: Sequence[Sequence[Axes]]) -> None:
        rows = [measure(name).label for name in self._rows]
        columns = [textwrap.fill(measure(name).label, 20) for name in self._columns]
        for line in grid:
            line[0].set_yticks(range(len(rows)), rows)
        for axes in grid[-1]:
            axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize=6.5)


def _draw(axes: Axes, fontsize: float, estimate: Array, low: Array, high: Array) -> None:
    """Draws one panel; arrays have shape (plasticity measures, ticket measures)."""
    colours = correlation_colours(estimate, (low > 0) | (high < 0))
    axes.imshow(colours, aspect="auto", interpolation="nearest")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for (row, column), value in np.ndenumerate(estimate):
        text = axes.text(
            column, row, correlation(value), ha="center", va="center", fontsize=fontsize,
            color=ink_on(colours[row, column]),
        )  # fmt: skip
        text.set_in_layout(False)  # it lies within its cell: measuring all of them takes long
