"""The examples run as written: the notebook on a real kernel, and the stream without Ray."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from matplotlib import image
from nbclient import NotebookClient

import raylot

_EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Where the notebook ran, and per code cell, by its last line, what it showed; live pictures
    stand under ``live``.
    """
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(_EXAMPLES / "study.ipynb", as_version=4)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_ADDRESS", "local")
        environment.setenv("PYTHONPATH", str(_EXAMPLES.parent))
        place = {"metadata": {"path": str(folder)}}
        NotebookClient(notebook, timeout=500, resources=place).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    shown = {cell.source.splitlines()[-1]: cell.outputs for cell in cells}
    widgets = notebook.metadata.get("widgets", {}).values()
    models = [model["state"] for kind in widgets for model in kind["state"].values()]
    return folder, {**shown, "live": [o for model in models for o in model.get("outputs", ())]}


def _texts(outputs: list[Any]) -> str:
    return "\n".join(o["text"] if "text" in o else str(o["data"]["text/plain"]) for o in outputs)


def test_the_notebook_shows_progress_answer_and_figure(
    executed: tuple[Path, dict[str, Any]],
) -> None:
    _, shown = executed
    progress = _texts(shown["results"] + shown["live"])
    assert "Results('" in progress
    assert "100% of the training done" in progress
    assert "IPython.core.display.HTML" not in progress  # as Tune shows its own table of trials
    assert _texts(shown["print(results.answer())"]).startswith("Under permuted_pixels")
    (figure,) = shown['results.figure("tickets_vs_plasticity")']
    assert "image/png" in figure.data
    assert not [o for outputs in shown.values() for o in outputs if o.get("name") == "stderr"]


def test_the_notebook_s_results_are_there_afterwards(executed: tuple[Path, dict[str, Any]]) -> None:
    folder, shown = executed
    found = raylot.open(folder / "results/notebook")
    assert sorted(found.runs["seed"].unique()) == [0, 1, 2, 3]
    assert set(found.runs["status"]) == {"finished"}
    tickets = found.tickets(seed=0, shift="permuted_pixels", task=20, sparsity=0.8)
    (printed,) = [texts for cell, texts in shown.items() if cell.startswith("tickets.overlaps()")]
    assert printed[0]["text"] == f"{tickets!r}\n"
    assert (folder / "results/notebook/analysis/report.html").exists()


def test_the_notebook_is_kept_without_outputs() -> None:
    notebook = nbformat.read(_EXAMPLES / "study.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not [cell.source for cell in code if cell.outputs or cell.execution_count]


def test_one_stream_loses_plasticity_and_tickets(tmp_path: Path) -> None:
    script = [sys.executable, str(_EXAMPLES / "one_stream.py")]
    less = ["--tasks", "31", "--every", "30", "--tickets", "3", "--figure", "found.png"]
    done = subprocess.run(
        [*script, *less], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(_EXAMPLES.parent)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    heading, *rows, last = done.stdout.splitlines()
    assert heading.split()[0] == "task"
    assert last == "drawn: found.png"
    begin, end = ([float(word) for word in row.split()] for row in rows)
    assert [begin[0], end[0]] == [0, 30]
    assert end[1] < begin[1] < 1  # what the network learns
    assert min(begin[2], end[2]) > end[1]  # what fresh networks learn
    assert end[5] < begin[5]  # by how much tickets are better than random masks
    assert 1 <= end[6] < begin[6] <= 3  # how many are distinct
    drawn = image.imread(tmp_path / "found.png")
    assert drawn.shape == (750, 900, 4)
    assert drawn.std() > 0.1
