"""How figures look: sizes, fonts and colours fit for a paper, one style for all."""

from __future__ import annotations

import io
import itertools
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from raylot.analysis.statistics.intervals import Array

#: Widths of one and of two columns of a page, in inches (89 mm and 183 mm).
SINGLE_COLUMN = 3.5
DOUBLE_COLUMN = 7.2

# Okabe & Ito's colours, which stay apart under every common colour blindness.
BLACK, GREY = "#000000", "#666666"
BLUE, VERMILION, GREEN, PINK, ORANGE, SKY = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9",
)  # fmt: skip
# Four more, from Paul Tol's scheme "muted" and a brown, for shifts that no study has all at once.
WINE, OLIVE, INDIGO, BROWN = "#882255", "#999933", "#332288", "#8C510A"
_SHIFT_COLOURS = {
    "permuted_pixels": BLUE, "permuted_labels": VERMILION, "random_labels": ORANGE,
    "rotation": GREEN, "class_split": PINK, "noise": SKY, "stationary": GREY,
    "class_incremental": WINE, "warm_start": OLIVE, "label_noise": INDIGO, "bit_flipping": BROWN,
}  # fmt: skip
_INTERVENTION_COLOURS = {
    "none": BLACK, "l2": BLUE, "l2_init": SKY, "shrink_and_perturb": GREEN, "redo": VERMILION,
    "reset": ORANGE,
}  # fmt: skip
SPARSITY_COLOURS = (GREEN, PINK, ORANGE, SKY, VERMILION, BLUE, BLACK)
_MARKERS = "os^Dv*PXphd<>"

#: Least distance of the names of two lines, in points.
_LABELS_APART = 8.5

#: Colours of a correlation of -1, 0 and 1, on light and on dark paper; those between are mixed.
CORRELATION_COLOURS = {
    "light": ("#2166ac", "#f7f7f7", "#b2182b"),
    "dark": ("#4393c3", "#2a2e36", "#d6604d"),
}
#: What is left of a correlation's colour if its interval covers 0, or if it has none.
PALE = 0.3
#: What the colours of correlations mean.
CORRELATION_KEY = (
    "Red: positive, blue: negative; pale: the 95% bootstrap interval over seeds (not corrected for "
    "the number of correlations) covers 0, or there is none."
)
_CORRELATIONS = LinearSegmentedColormap.from_list("", CORRELATION_COLOURS["light"], N=257)

_RC: dict[str, Any] = {
    "font.family": "DejaVu Sans", "font.size": 7.5,
    "axes.labelsize": 7.5, "axes.titlesize": 8, "xtick.labelsize": 7, "ytick.labelsize": 7,
    "axes.spines.top": False, "axes.spines.right": False,
    "axes.linewidth": 0.6, "xtick.major.width": 0.6, "ytick.major.width": 0.6,
    "lines.linewidth": 1.3,
    "axes.unicode_minus": False,
    "figure.constrained_layout.use": True,
    "figure.dpi": 200,  # text is laid out as wide as it is drawn
    "savefig.dpi": "figure",
    "svg.fonttype": "none",
    "svg.hashsalt": "raylot",
}  # fmt: skip


def applied() -> AbstractContextManager[None]:
    """Draws in this style within a ``with`` block."""
    return rc_context(_RC)  # type: ignore[arg-type]  # its stubs list every key


def shift_colours(shifts: Iterable[str]) -> dict[str, str]:
    """A colour per shift; a known shift has the same in every figure, its doses shades of it."""
    return _shades(shifts, _SHIFT_COLOURS)


def intervention_colours(interventions: Iterable[str]) -> dict[str, str]:
    """A colour per intervention; a known one has the same in every figure, its doses shades of
    it."""
    return _shades(interventions, _INTERVENTION_COLOURS)


def _shades(labels: Iterable[str], known: Mapping[str, str]) -> dict[str, str]:
    """Gives each name a colour, and its doses, ``l2(1e-4)`` and ``l2(1e-3)``, shades from dark to
    light."""
    doses: dict[str, list[str]] = {}
    for label in dict.fromkeys(labels):
        doses.setdefault(label.partition("(")[0], []).append(label)
    colours = _each(doses, known, SPARSITY_COLOURS)
    found = {}
    for name, own in doses.items():
        for label, light in zip(own, np.linspace(-0.5, 0.5, len(own)), strict=True):
            end = np.full(3, float(light > 0))
            mixed = to_rgb(colours[name]) + abs(light) * (end - to_rgb(colours[name]))
            found[label] = colours[name] if len(own) == 1 else to_hex(mixed)
    return found


def _each(names: Iterable[str], known: Mapping[str, str], others: Sequence[str]) -> dict[str, str]:
    """Gives each known name its own value, and other names, in turn, the values left over."""
    names = list(dict.fromkeys(names))
    used = {known.get(name) for name in names}
    free = [value for value in dict.fromkeys([*known.values(), *others]) if value not in used]
    spare = itertools.cycle(free or others)
    return {name: known.get(name) or next(spare) for name in names}


def shift_markers(shifts: Iterable[str]) -> dict[str, str]:
    """A marker per shift, so that lines stay apart in grey print too."""
    return _each(shifts, dict(zip(_SHIFT_COLOURS, _MARKERS, strict=False)), _MARKERS)


def correlation_colours(estimates: Array, sure: NDArray[np.bool_]) -> Array:
    """The colour of each correlation, as red, green and blue from 0 to 1 along a new last axis.

    Args:
        estimates: from -1 to 1; what is missing gets the colour of 0.
        sure: whether the interval leaves 0 out, of the same shape.
    """
    strength = np.nan_to_num(estimates) * np.where(sure, 1.0, PALE)
    return np.asarray(_CORRELATIONS((strength + 1) / 2))[..., :3]


def contrast(a: Any, b: Any) -> float:
    """The contrast of two colours as the Web Content Accessibility Guidelines define it: 1 to 21,
    and at least 4.5 for text."""
    low, high = sorted(_luminance(colour) for colour in (a, b))
    return (high + 0.05) / (low + 0.05)


def ink_on(paper: Any) -> str:
    """Chooses black or white, the easier to read on a colour: a contrast of 4.58 at least."""
    return max(("black", "white"), key=lambda ink: contrast(ink, paper))


def _luminance(colour: Any) -> float:
    parts = np.asarray(to_rgb(colour))
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def note(figure: Figure, *sentences: str) -> None:
    """Writes small print below a figure; empty sentences are left out."""
    size = 6.0
    per_line = int(figure.get_figwidth() * 72 / (0.56 * size))
    text = " ".join(filter(None, sentences))
    figure.supxlabel(
        "\n".join(textwrap.wrap(text, per_line)),
        x=0.01, ha="left", fontsize=size, color=GREY, linespacing=1.25,
    )  # fmt: skip


def encoded(figure: Figure) -> dict[str, bytes]:
    """The figure as file ending -> contents; equal figures give equal bytes."""
    lay_out(figure)
    figure.set_layout_engine("none")  # laid out once for both files
    # savefig would draw each of them twice; matplotlib's stubs lack the types of what it calls.
    png, svg = io.BytesIO(), io.BytesIO()
    FigureCanvasAgg(figure).print_png(png, metadata={"Software": None})  # type: ignore[no-untyped-call]
    FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None})  # type: ignore[no-untyped-call]
    return {"png": png.getvalue(), "svg": svg.getvalue()}


def lay_out(figure: Figure) -> None:
    """Gives axes their final size, which constrained layout decides only when a figure is drawn."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)


@dataclass(frozen=True)
class Label:
    """A line's name, written at its right end.

    Attributes:
        axes: that the line is drawn in.
        x, y: where it ends, in data.
        text: its name.
        colour: its colour.
    """

    axes: Axes
    x: float
    y: float
    text: str
    colour: str


def label_rows(labels: Iterable[Label]) -> None:
    """Writes each name once per row of panels, beside the line furthest right in that row."""
    by_column = sorted(labels, key=lambda label: grid_place(label.axes).colspan.start)
    furthest = {(grid_place(label.axes).rowspan.start, label.text): label for label in by_column}
    _spread_labels(list(furthest.values()))


def grid_place(axes: Axes) -> SubplotSpec:
    """Returns the place of axes in the grid that all axes of a figure belong to."""
    place = axes.get_subplotspec()
    assert place is not None
    return place


def _spread_labels(labels: Sequence[Label]) -> None:
    """Writes labels to the right of their lines, moved apart vertically where they would overlap.

    Args:
        labels: of one figure, whose axes have their final limits and small print.
    """
    if not labels:
        return
    by_axes: dict[Axes, list[Label]] = {}
    for label in labels:
        by_axes.setdefault(label.axes, []).append(label)
    texts = {axes: _beside(axes, own) for axes, own in by_axes.items()}
    figure = _figure(labels[0].axes)
    lay_out(figure)
    figure.set_layout_engine("none")  # labels now move up and down only, which takes no room
    for axes, own in texts.items():
        _spread(axes, own)


def _beside(axes: Axes, labels: Sequence[Label]) -> list[Annotation]:
    """Writes labels at the heights of their lines' ends, to the right of all of them."""
    right = max(label.x for label in labels)
    has_room = _has_empty_panels_beside(axes)
    texts = []
    for label in labels:
        text = axes.annotate(
            label.text, (right, label.y), xytext=(4, 0), textcoords="offset points",
            color=label.colour, va="center", annotation_clip=False,
        )  # fmt: skip
        text.set_in_layout(not has_room)
        texts.append(text)
    return texts


def _spread(axes: Axes, texts: Sequence[Annotation]) -> None:
    height = axes.get_window_extent().height * 72 / _figure(axes).dpi
    ends = axes.transAxes.inverted().transform(axes.transData.transform([t.xy for t in texts]))
    wanted = sorted(zip(ends[:, 1] * height, texts, strict=True), key=lambda wish: wish[0])
    placed: list[float] = []
    for y, _ in wanted:
        placed.append(max(y, placed[-1] + _LABELS_APART) if placed else y)
    excess = max(0.0, placed[-1] - height)
    for index in reversed(range(len(placed))):
        above = (
            placed[index + 1] - _LABELS_APART if index + 1 < len(placed) else placed[index] - excess
        )
        placed[index] = min(placed[index], above)
    for (wish, text), y in zip(wanted, placed, strict=True):
        text.xyann = (4, y - wish)


def _figure(axes: Axes) -> Figure:
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


def _has_empty_panels_beside(axes: Axes) -> bool:
    """Whether the grid goes on to the right of axes, but with nothing in it."""
    place = grid_place(axes)
    places = {other: grid_place(other) for other in _figure(axes).axes}
    in_row = [other for other, at in places.items() if at.rowspan.start == place.rowspan.start]
    beside = [other for other in in_row if places[other].colspan.start > place.colspan.start]
    return bool(beside) and not any(other.get_visible() for other in beside)


def place_labels(
    axes: Axes,
    labels: Sequence[tuple[float, float, str, str]],
    obstacles: Sequence[Sequence[float]],
) -> None:
    """Writes a label beside each point, where it covers least; a thin line leads to a far one.

    Args:
        axes: with its final limits set, of a figure that is laid out.
        labels: x, y in data, text and colour of each.
        obstacles: points that are better not covered, as x, y in data.
    """
    pixels = _figure(axes).dpi / 72
    taken = [
        Bbox.from_bounds(x - 2 * pixels, y - 2 * pixels, 4 * pixels, 4 * pixels)
        for x, y in axes.transData.transform(np.asarray(obstacles, dtype=float).reshape(-1, 2))
    ]
    inside = axes.get_window_extent()

    def cost(place: tuple[float, Bbox]) -> float:
        distance, box = place
        is_inside = inside.contains(*box.min) and inside.contains(*box.max)
        return distance / 10 + 3 * sum(map(box.overlaps, taken)) + 50 * (not is_inside)

    for x, y, text, colour in labels:
        point = axes.transData.transform((x, y))
        size = np.array([4.2 * len(text) * pixels, 8.5 * pixels])
        places = []
        for distance, angle in itertools.product((9.0, 16.0, 26.0, 38.0), range(0, 360, 30)):
            aim = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
            corner = point + aim * ((distance - 4) * pixels + size / 2) - size / 2
            places.append((distance, Bbox.from_bounds(*corner, *size)))
        distance, box = min(places, key=cost)
        taken.append(box)
        centre = (np.array([box.x0 + box.x1, box.y0 + box.y1]) / 2 - point) / pixels
        line = {"arrowstyle": "-", "color": colour, "linewidth": 0.4, "shrinkB": 2}
        axes.annotate(
            text, (x, y), xytext=(float(centre[0]), float(centre[1])), textcoords="offset points",
            color=colour, fontsize=7, ha="center", va="center",
            arrowprops=line if distance > 9 else None,
        )  # fmt: skip
