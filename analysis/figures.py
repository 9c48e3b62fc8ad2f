"""Draws a study's figures, as PNG and SVG, into STORAGE/analysis/figures/.

along_stream: accuracy and ticket overlap along the stream of tasks, one column per shift.
ticket_count_vs_plasticity: ticket count against test accuracy, one panel per sparsity.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import command
import pandas as pd
from along_stream import along_stream
from matplotlib import rc_context
from matplotlib.figure import Figure
from observations import observe, settings
from style import RC, encoded
from ticket_count_vs_plasticity import ticket_count_vs_plasticity

from raylot import results
from raylot.options import Options, option
from raylot.storage import Storage

#: Name -> what draws it from a setting's observations and its streams' tasks.
FIGURES: dict[str, Callable[[pd.DataFrame, pd.DataFrame], Figure]] = {
    "along_stream": along_stream,
    "ticket_count_vs_plasticity": ticket_count_vs_plasticity,
}


class FigureOptions(Options):
    """What is asked of this script."""

    storage: str = option(
        ..., "storage of a sweep", accepts="folder or URI, as given to the sweep"
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Draws all figures of the storage that the command line names."""
    options = command.parse(FigureOptions, __doc__, arguments)
    storage = Storage(options.storage)
    observations = observe(storage)
    tasks = results.read(storage, "tasks")
    console = command.terminal()
    for setting in settings(observations):
        streams = setting.frame["stream_run_id"].unique()
        own = tasks[tasks["run_id"].isin(streams) & (tasks["subnetwork"] == "dense")]
        for name, draw in FIGURES.items():
            with rc_context(RC):  # type: ignore[arg-type]  # its stubs list every key
                files = encoded(draw(setting.frame, own))
            for ending, contents in files.items():
                path = f"analysis/figures/{name}{setting.suffix}.{ending}"
                storage.write(path, contents)
                console.print(f"written  {storage.root.rstrip('/')}/{path}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(command.run(main))
