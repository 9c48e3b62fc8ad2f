"""Draws a study's figures, as PNG and SVG, into STORAGE/analysis/figures/.

It takes the place of its own older ones there; your files stay, whatever they are called.

accuracy_along_stream: smoothed test accuracy of every task, all shifts and interventions.
along_stream: accuracy and ticket overlap along the stream of tasks, one column per shift.
first_differences: how accuracy, overlap and ticket count change from snapshot to snapshot.
tickets_and_controls: accuracy of tickets, controls and the dense network at the snapshots.
ticket_streams: tickets that go on learning new tasks, against the dense network.
plastic_parameters: overlap of tickets with the most plastic parameters.
plasticity_along_stream: every measure of plasticity at the snapshots.
correlation_matrix: ticket measures against measures of plasticity, one file per statistic; the
    main measures, or with --measures all every one.
ticket_count_vs_plasticity: ticket count against test accuracy, one panel per sparsity.

A figure whose data the storage lacks is left out and named; a storage must hold searched snapshots.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Literal

from matplotlib import rc_context
from matplotlib.figure import Figure

from raylot.analysis import command
from raylot.analysis.figures.accuracy_along_stream import accuracy_along_stream
from raylot.analysis.figures.along_stream import along_stream
from raylot.analysis.figures.correlation_matrix import correlation_matrix
from raylot.analysis.figures.first_differences import first_differences
from raylot.analysis.figures.material import Material, NothingToDrawError, Tables
from raylot.analysis.figures.plastic_overlap import plastic_overlap
from raylot.analysis.figures.plasticity_along_stream import plasticity_along_stream
from raylot.analysis.figures.style import RC, encoded
from raylot.analysis.figures.ticket_count_vs_plasticity import ticket_count_vs_plasticity
from raylot.analysis.figures.ticket_streams import ticket_streams
from raylot.analysis.figures.tickets_and_controls import tickets_and_controls
from raylot.analysis.tables.observations import observe, settings
from raylot.config.options import option
from raylot.storage import Storage

_FOLDER = "analysis/figures"

#: The names of the files that this script wrote there, one a line; it removes no others. A name is
#: noted before its file is written, so that a killed call leaves no figure that nobody removes.
_WRITTEN = f"{_FOLDER}/.written"

#: A figure, or several under the endings of their names.
Drawn = Figure | Mapping[str, Figure]

#: Name -> what draws it from one setting.
FIGURES: dict[str, Callable[[Material], Drawn]] = {
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
    "ticket_count_vs_plasticity": ticket_count_vs_plasticity,
}

#: Name -> what draws it from settings that differ in their intervention only.
COMPARISONS: dict[str, Callable[[Sequence[Material]], Drawn]] = {
    "accuracy_along_stream": accuracy_along_stream,
}


class FiguresOptions(command.StorageOptions):
    """What is asked of this script."""

    measures: Literal["main", "all"] = option("main", "measures in the matrices of correlations")


def main(arguments: Sequence[str] | None = None) -> None:
    """Draws all figures of the storage that the command line names."""
    options = command.parse(FiguresOptions, __doc__, arguments)
    storage = Storage(options.storage)
    console = command.terminal()
    folder = f"{storage.root.rstrip('/')}/{_FOLDER}"
    earlier = (storage.read(_WRITTEN) or b"").decode(errors="replace").splitlines()
    written: list[str] = []
    for name, draw in _drawings(storage, all_measures=options.measures == "all"):
        try:
            with rc_context(RC):  # type: ignore[arg-type]  # its stubs list every key
                drawn = draw()
                parts = {"": drawn} if isinstance(drawn, Figure) else drawn
                files = {
                    f"{'_'.join(filter(None, [name, part]))}.{ending}": data
                    for part, figure in parts.items()
                    for ending, data in encoded(figure).items()
                }
        except NothingToDrawError as missing:
            console.print(f"left out  {name}: {missing}", soft_wrap=True)
            continue
        written += files
        _note(storage, [*earlier, *written])
        for path, data in files.items():
            storage.write(f"{_FOLDER}/{path}", data)
        for figure in dict.fromkeys(path.rpartition(".")[0] for path in files):
            console.print(f"written   {figure}", soft_wrap=True)
    _remove(storage, set(earlier) - set(written))
    _note(storage, written)
    names = {path.rpartition(".")[0] for path in written}
    console.print(f"figures  {folder}/ ({len(names)}, each as .png and .svg)", soft_wrap=True)


def _note(storage: Storage, names: Sequence[str]) -> None:
    storage.write(_WRITTEN, "\n".join(dict.fromkeys(names)).encode())


def _remove(storage: Storage, names: Collection[str]) -> None:
    """Removes files that an earlier call wrote and this one did not.

    A storage that has come to hold several settings names its figures otherwise than before; the
    old ones would lie beside them with old content.

    Args:
        storage: whose figures were drawn.
        names: of files in the folder; anybody may have noted them.
    """
    for name in set(names) & set(storage.names(_FOLDER)):
        if name.endswith((".png", ".svg")):
            storage.delete_file(f"{_FOLDER}/{name}")


def _drawings(storage: Storage, *, all_measures: bool) -> Iterator[tuple[str, Callable[[], Drawn]]]:
    """Every figure's name, its setting's suffix included, and what draws it."""
    observations, tables = observe(storage), Tables.read(storage)
    parts = settings(observations)
    materials = [Material(setting, tables, observations, all_measures) for setting in parts]
    alike: dict[str, list[Material]] = {}
    for material in materials:
        alike.setdefault(material.suffix_of_interventions, []).append(material)
    for suffix, group in alike.items():
        for name, compare in COMPARISONS.items():
            yield f"{name}{suffix}", partial(compare, group)
    for material in materials:
        for name, draw in FIGURES.items():
            yield f"{name}{material.setting.suffix}", partial(draw, material)
