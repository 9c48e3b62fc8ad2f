"""How figures look: sizes, fonts and colours fit for a paper, one style for all."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

matplotlib.use("Agg")

#: Widths of one and of two columns of a page, in inches (89 mm and 183 mm).
SINGLE_COLUMN = 3.5
DOUBLE_COLUMN = 7.2

# Okabe & Ito's colours, which stay apart under every common colour blindness.
BLACK, GREY = "#000000", "#666666"
_SHIFT_COLOURS = {
    "permuted_pixels": "#0072B2",
    "permuted_labels": "#D55E00",
    "stationary": GREY,
}
_OTHER_SHIFTS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_SPARSITY_COLOURS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#D55E00", "#0072B2", BLACK)

RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.labelsize": 7.5,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.3,
    "axes.unicode_minus": False,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 200,
    "svg.fonttype": "none",
    "svg.hashsalt": "raylot",
}


def shift_colours(shifts: Sequence[str]) -> dict[str, str]:
    """A colour per shift; a known shift has the same in every figure."""
    others = [shift for shift in shifts if shift not in _SHIFT_COLOURS]
    own = {shift: _OTHER_SHIFTS[i % len(_OTHER_SHIFTS)] for i, shift in enumerate(others)}
    return {shift: _SHIFT_COLOURS.get(shift) or own[shift] for shift in shifts}


def sparsity_colour(index: int) -> str:
    """The colour of the index-th sparsity."""
    return _SPARSITY_COLOURS[index % len(_SPARSITY_COLOURS)]


def encoded(figure: Figure) -> dict[str, bytes]:
    """The figure as file ending -> contents; equal figures give equal bytes."""
    files = {}
    for ending, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=ending, metadata=metadata)
        files[ending] = buffer.getvalue()
    return files


def spread_labels(
    axes: Axes, x: float, labels: Sequence[tuple[float, str, str]], points: float = 8.5
) -> None:
    """Writes labels to the right of x, moved apart vertically where they would overlap.

    Args:
        axes: with its final limits set.
        x: where the labelled lines end, in data.
        labels: height in data, text and colour of each.
        points: least distance of two labels, in points.
    """
    if not labels:
        return
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # constrained layout decides the axes' height only now
    height = axes.get_window_extent().height * 72 / figure.dpi
    bottom, top = axes.get_ylim()
    wanted = sorted(((y - bottom) / (top - bottom) * height, text, c) for y, text, c in labels)
    placed: list[float] = []
    for y, _, _ in wanted:
        placed.append(max(y, placed[-1] + points) if placed else y)
    excess = max(0.0, placed[-1] - height)
    for index in reversed(range(len(placed))):
        above = placed[index + 1] - points if index + 1 < len(placed) else placed[index] - excess
        placed[index] = min(placed[index], above)
    for (wish, text, colour), y in zip(wanted, placed, strict=True):
        axes.annotate(
            text,
            (x, bottom + wish / height * (top - bottom)),
            xytext=(4, y - wish),
            textcoords="offset points",
            color=colour,
            va="center",
            annotation_clip=False,
        )


def place_labels(
    axes: Axes,
    labels: Sequence[tuple[float, float, str, str]],
    obstacles: Sequence[Sequence[float]],
) -> None:
    """Writes a label beside each point, where it covers least; a thin line leads to a far one.

    Args:
        axes: with its final limits set.
        labels: x, y in data, text and colour of each.
        obstacles: points that are better not covered, as x, y in data.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    pixels = figure.dpi / 72
    taken = [
        Bbox.from_bounds(x - 2 * pixels, y - 2 * pixels, 4 * pixels, 4 * pixels)
        for x, y in axes.transData.transform(np.asarray(obstacles, dtype=float).reshape(-1, 2))
    ]
    inside = axes.get_window_extent()
    for x, y, text, colour in labels:
        point = axes.transData.transform((x, y))
        width, height = 4.2 * len(text) * pixels, 8.5 * pixels
        best: tuple[float, Bbox, float] | None = None
        for distance, angle in itertools.product((9.0, 16.0, 26.0, 38.0), np.arange(0, 360, 30)):
            aim = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
            centre = point + aim * ((distance - 4) * pixels + np.array([width, height]) / 2)
            left, bottom = centre - (width / 2, height / 2)
            box = Bbox.from_bounds(float(left), float(bottom), width, height)
            cost = distance / 10 + 3 * sum(map(box.overlaps, taken))
            cost += 50 * (not (inside.contains(*box.min) and inside.contains(*box.max)))
            if best is None or cost < best[0]:
                best = (cost, box, distance)
        assert best is not None
        _, box, distance = best
        taken.append(box)
        centre = (np.array([box.x0 + box.x1, box.y0 + box.y1]) / 2 - point) / pixels
        axes.annotate(
            text,
            (x, y),
            xytext=(float(centre[0]), float(centre[1])),
            textcoords="offset points",
            color=colour,
            fontsize=7,
            ha="center",
            va="center",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.4, "shrinkB": 2}
            if distance > 9
            else None,
        )
