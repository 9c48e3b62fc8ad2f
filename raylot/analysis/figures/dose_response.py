"""Figure: tickets against plasticity, a colour per method: networks that trained equally long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from raylot.analysis.doses.collapse import with_collapse
from raylot.analysis.doses.trajectories import Trajectories, method
from raylot.analysis.figures import style
from raylot.analysis.figures.material import Material, NothingToDrawError
from raylot.analysis.figures.panels import in_two_lines, search_grid, seeds_note, share_y
from raylot.analysis.statistics.intervals import Mean, mean_interval
from raylot.analysis.tables.measures import PRIMARY_PLASTICITY, PRIMARY_TICKETS, measure
from raylot.analysis.tables.observations import groups
from raylot.analysis.words import counted

_X, _Y = PRIMARY_PLASTICITY, PRIMARY_TICKETS
#: The method whose snapshots do not depend on the stream.
_RESET = "reset"

_MARKERS = "osD^vP*Xh<>p"

#: Inches that the key takes beside a label, for each of its characters, and for each row of more
#: rows than a figure has room for.
_KEY_MARGIN, _KEY_CHARACTER, _KEY_ROW, _KEY_ROWS = 0.35, 0.06, 0.16, 3
_MOST_COLUMNS = 4


def dose_response(materials: Sequence[Material]) -> Figure:
    """Small points: seeds, each the mean over its snapshots after task 0. Large: means over seeds
    of each dose, with 95% t intervals both ways. A method has one marker and one colour, its doses
    shades of it.

    Args:
        materials: settings that differ in their intervention only.

    Raises:
        NothingToDrawError: fewer than two doses have both measures.
    """
    frame = pd.concat([material.frame for material in materials])
    runs = pd.concat([material.setting.runs for material in materials])
    drawn = [
        Trajectories.of(with_collapse(part, runs, _X))
        for _, part in groups(frame, with_all_shifts=False)
    ]
    doses = sorted({dose for own in drawn for dose in _means(own)})
    if len(doses) < 2:
        raise NothingToDrawError(
            f"fewer than two doses have values of {measure(_X).label} and {measure(_Y).label}"
        )
    colours = {s: c for m in materials for s, c in m.shift_colours.items()}
    figure, panels = search_grid(frame, colours, 2.8, measure(_X).axis_label, in_two_lines(_Y))
    shades = materials[0].intervention_colours
    names = list(dict.fromkeys(map(method, shades)))
    markers = dict(zip(names, _MARKERS * len(names), strict=False))
    for (axes, _, _), own in zip(panels, drawn, strict=True):
        for dose in own.doses:
            _draw(axes, own, dose, shades[dose], markers[method(dose)])
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.margins(0.06, 0.08)
    rows = _side_by_side(panels)
    for row in rows:
        share_y([panels[place][0] for place in row], least=0)
    _key(figure, doses, shades, markers)
    counts = sorted({len(own.snapshots) for own in drawn})
    snapshots = " or ".join(counted(count, "snapshot") for count in counts)
    style.note(
        figure,
        seeds_note(frame, shown_by="bars"),
        f"Small: single seeds, each the mean over {snapshots} after task 0.",
        "All have trained equally many steps. Right: more plasticity was lost; down: tickets are "
        "less of an advantage.",
        _of_reset([[drawn[place] for place in row] for row in rows]),
    )
    return figure


def _means(own: Trajectories) -> list[str]:
    """Returns the doses that have a value of both measures."""
    if not (own.has(_X) and own.has(_Y)):
        return []
    known = own.means(_X).notna() & own.means(_Y).notna()
    return [str(dose) for dose in known if known[dose].any()]


def _side_by_side(panels: Sequence[tuple[Axes, str, pd.DataFrame]]) -> list[list[int]]:
    """Returns the places of panels of one ticket search, which differ in their shift."""
    found: dict[Any, list[int]] = {}
    for place, (_, _, part) in enumerate(panels):
        found.setdefault(tuple(part.iloc[0][["sparsity", "rounds"]]), []).append(place)
    return list(found.values())


def _of_reset(rows: Sequence[Sequence[Trajectories]]) -> str:
    """Explains why `reset` has the same points under several shifts, where it does."""
    compared = []
    for row in rows:
        values = [
            pd.concat([own.means(_X)[_RESET], own.means(_Y)[_RESET]], axis=1)
            for own in row
            if _RESET in _means(own)
        ]
        compared += [values[0].equals(other) for other in values[1:]]
    if not compared or not all(compared):
        return ""
    return f"Snapshots of {_RESET} are fresh networks, so they are the same under each shift."


def _draw(axes: Axes, own: Trajectories, dose: str, colour: str, marker: str) -> None:
    if dose not in _means(own):
        return
    both = pd.DataFrame({"x": own.means(_X)[dose], "y": own.means(_Y)[dose]}).dropna()
    axes.plot(both["x"], both["y"], marker, color=colour, alpha=0.45, markersize=2.8,
              markeredgewidth=0, zorder=1)  # fmt: skip
    x, y = mean_interval(both["x"].to_numpy()), mean_interval(both["y"].to_numpy())
    assert x is not None
    assert y is not None
    axes.errorbar(
        x.mean, y.mean, xerr=_half(x), yerr=_half(y), color=colour, marker=marker, markersize=6.5,
        markeredgecolor="white", markeredgewidth=0.6, elinewidth=0.8, zorder=3,
    )  # fmt: skip


def _half(mean: Mean) -> float:
    return np.nan if mean.half is None else mean.half


def _key_width(labels: Sequence[str], columns: int) -> float:
    """The inches that a key with so many columns takes, which it fills one after another."""
    rows = -(-len(labels) // columns)
    longest = [max(map(len, labels[at : at + rows])) for at in range(0, len(labels), rows)]
    return sum(_KEY_MARGIN + length * _KEY_CHARACTER for length in longest)


def _key(
    figure: Figure, doses: Sequence[str], shades: dict[str, str], markers: dict[str, str]
) -> None:
    handles: list[Any] = [
        Line2D([], [], linestyle="none", color=shades[dose], marker=markers[method(dose)],
               markersize=5, label=dose)
        for dose in shades if dose in doses
    ]  # fmt: skip
    width, height = figure.get_size_inches()
    labels = [str(handle.get_label()) for handle in handles]
    columns = max(
        n for n in range(1, _MOST_COLUMNS + 1) if n == 1 or _key_width(labels, n) <= width
    )
    rows = -(-len(handles) // columns)
    figure.set_figheight(height + max(0, rows - _KEY_ROWS) * _KEY_ROW)
    figure.legend(
        handles=handles, loc="outside upper center", ncols=columns, frameon=False,
        handletextpad=0.2, columnspacing=1.2,
    )  # fmt: skip
