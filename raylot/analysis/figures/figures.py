"""Draws a study's figures, as PNG and SVG, into STORAGE/analysis/figures/.

Replaces the figures that an earlier call drew there, and leaves your own files alone.

accuracy_along_stream: smoothed test accuracy of every task, all shifts and interventions.
along_stream: accuracy and ticket overlap along the stream of tasks, one column per shift.
first_differences: how accuracy, overlap and ticket count change from snapshot to snapshot.
tickets_and_controls: accuracy of tickets, controls and the dense network at the snapshots.
ticket_streams: tickets that go on learning new tasks, against the dense network.
plastic_parameters: overlap of tickets with the most plastic parameters.
dose_response: tickets against plasticity, a colour per method and a shade per dose.
plasticity_along_stream: every measure of plasticity at the snapshots.
correlation_matrix: ticket measures against measures of plasticity, one file per statistic; the
    main measures, or with --measures all every one.
tickets_vs_plasticity: tickets against plasticity along the stream, one panel per sparsity.

A figure whose data the storage lacks is left out and named; a storage must hold searched snapshots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

from matplotlib.figure import Figure

from raylot.analysis import command
from raylot.analysis.figures import style
from raylot.analysis.figures.accuracy_along_stream import accuracy_along_stream
from raylot.analysis.figures.along_stream import along_stream
from raylot.analysis.figures.by_processes import Drawing, drawn_by_processes
from raylot.analysis.figures.correlation_matrix import correlation_matrix, matrix_parts
from raylot.analysis.figures.dose_response import dose_response
from raylot.analysis.figures.first_differences import first_differences
from raylot.analysis.figures.material import Material, NothingToDrawError, Tables
from raylot.analysis.figures.plastic_overlap import plastic_overlap
from raylot.analysis.figures.plasticity_along_stream import plasticity_along_stream
from raylot.analysis.figures.ticket_streams import streamed_shifts, ticket_streams
from raylot.analysis.figures.tickets_and_controls import tickets_and_controls
from raylot.analysis.figures.tickets_vs_plasticity import tickets_vs_plasticity
from raylot.analysis.tables.observations import observe, settings
from raylot.config.doses import in_file_names
from raylot.config.options import option
from raylot.foundation.errors import OptionError
from raylot.foundation.text import say_progress
from raylot.storage import Storage

_FOLDER = "analysis/figures"

#: Lists the files that this script wrote there, one a line; it removes no others. It notes a name
#: before it writes the file, so that the next call also removes the figures of a killed one.
_WRITTEN = f"{_FOLDER}/.written"

#: Name -> what draws it from one setting, and the part of the setting if it is in `PARTS`.
FIGURES: dict[str, Callable[..., Figure]] = {
    "along_stream": along_stream,
    "first_differences": first_differences,
    "tickets_and_controls": tickets_and_controls,
    "ticket_streams": ticket_streams,
    "plastic_parameters": plastic_overlap,
    "plasticity_along_stream": plasticity_along_stream,
    "correlation_matrix_pearson": partial(correlation_matrix, statistic="pearson"),
    "correlation_matrix_first_differences": partial(
        correlation_matrix, statistic="first_differences"
    ),
    "tickets_vs_plasticity": tickets_vs_plasticity,
}

#: Name -> the parts of a setting that get a figure each; ``""`` for the whole setting.
PARTS: dict[str, Callable[[Material], list[str]]] = {
    "ticket_streams": streamed_shifts,
    "correlation_matrix_pearson": matrix_parts,
    "correlation_matrix_first_differences": matrix_parts,
}

#: Name -> what draws it from settings that differ in their intervention only.
COMPARISONS: dict[str, Callable[[Sequence[Material]], Figure]] = {
    "accuracy_along_stream": accuracy_along_stream,
    "dose_response": dose_response,
}


class FiguresOptions(command.StorageOptions):
    """The options of this analysis."""

    measures: Literal["main", "all"] = option(
        "main", "measures in the matrices of correlations", role="verdict"
    )


def names(storage: Storage) -> list[str]:
    """Names a storage's figures; the data of some may be missing, as `draw` then says."""
    return list(_drawings(storage))


def draw(storage: Storage, name: str) -> Figure:
    """Draws one figure.

    Args:
        storage: with searched snapshots.
        name: one of `names`.

    Raises:
        OptionError: there is no such figure, or nothing to draw in it.
    """
    drawings = _drawings(storage)
    if name not in drawings:
        raise OptionError(f"figure={name}: must be one of {', '.join(drawings)}")
    try:
        with style.applied():
            return drawings[name]()
    except NothingToDrawError as missing:
        raise OptionError(f"figure={name}: cannot be drawn, {missing}") from None


def main(arguments: Sequence[str] | None = None) -> None:
    """Draws all figures of the storage that the command line names."""
    options = command.parse(FiguresOptions, __doc__, arguments)
    storage = Storage(options.storage)
    console = command.terminal()
    earlier = (storage.read(_WRITTEN) or b"").decode(errors="replace").splitlines()
    written: list[str] = []
    drawings = _drawings(storage, all_measures=options.measures == "all")
    say_progress("drawing figures ...")
    for name, drawn in zip(drawings, drawn_by_processes(list(drawings.values())), strict=True):
        if isinstance(drawn, str):
            console.print(f"left out  {name}: {drawn}", soft_wrap=True)
            continue
        files = {f"{name}.{ending}": data for ending, data in drawn.items()}
        written += files
        _note(storage, [*earlier, *written])
        for path, data in files.items():
            storage.write(f"{_FOLDER}/{path}", data)
        console.print(f"written   {name}", soft_wrap=True)
    # A storage that has come to hold several settings names its figures otherwise than before: the
    # old ones would lie beside them with old content. The list is a file that anybody may have
    # changed, so nothing but a figure is deleted.
    for name in (set(earlier) - set(written)) & set(storage.names(_FOLDER)):
        if name.endswith((".png", ".svg")):
            storage.delete_file(f"{_FOLDER}/{name}")
    _note(storage, written)
    folder = f"{storage.root.rstrip('/')}/{_FOLDER}"
    count = len(written) // 2
    console.print(f"figures  {folder}/ ({count}, each as .png and .svg)", soft_wrap=True)


def _note(storage: Storage, names: Sequence[str]) -> None:
    storage.write(_WRITTEN, "\n".join(dict.fromkeys(names)).encode())


def _drawings(storage: Storage, *, all_measures: bool = False) -> dict[str, Drawing]:
    """Each figure's name, with the setting's suffix, and what draws it."""
    observations, tables = observe(storage), Tables.read(storage)
    parts = settings(observations)
    materials = [Material(setting, tables, observations, all_measures) for setting in parts]
    alike: dict[str, list[Material]] = {}
    for material in materials:
        alike.setdefault(material.setting.suffix_of_interventions, []).append(material)
    found: dict[str, Callable[[], Figure]] = {}
    for suffix, group in alike.items():
        for name, compare in COMPARISONS.items():
            found[f"{name}{suffix}"] = partial(compare, group)
    for material in materials:
        for name, draw in FIGURES.items():
            full = f"{name}{material.setting.suffix}"
            if name not in PARTS:
                found[full] = partial(draw, material)
                continue
            for part in PARTS[name](material):
                found["_".join(filter(None, [full, in_file_names(part)]))] = partial(
                    draw, material, part
                )
    return found
