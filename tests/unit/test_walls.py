"""Imports run one way, and only few folders know Ray or torch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support import import_graph

_PACKAGE = Path(__file__).parents[2] / "raylot"
_GRAPH = import_graph.read(_PACKAGE)


def _importers(library: str) -> set[str]:
    """The folders whose files import a library."""
    return {
        import_graph.floor(module)
        for module, imported in _GRAPH.items()
        if _is_in(library, imported)
    }


def _is_in(library: str, imported: Iterable[str]) -> bool:
    return any(name.split(".")[0] == library for name in imported)


def test_every_file_lies_on_a_known_floor() -> None:
    assert {import_graph.floor(module) for module in _GRAPH} <= {*import_graph.FLOORS}


def test_no_import_runs_back_up() -> None:
    assert import_graph.arrows_back(_GRAPH) == []


def test_no_circle_of_files() -> None:
    assert import_graph.circles(_GRAPH) == []


def test_a_circle_and_an_arrow_back_would_be_found() -> None:
    graph = {"p.low.a": {"p.high.b"}, "p.high.b": {"p.low.c"}, "p.low.c": {"p.low.a", "numpy"}}
    assert import_graph.circles(graph) == [["p.high.b", "p.low.a", "p.low.c"]]
    assert import_graph.arrows_back(graph, ("low", "high")) == [("p.low.a", "p.high.b")]


def test_only_trials_and_sweep_import_ray() -> None:
    assert _importers("ray") == {"trials", "sweep"}


def test_only_the_fast_engine_imports_numba() -> None:
    for library in ("numba", "llvmlite"):
        importers = {module for module, of in _GRAPH.items() if _is_in(library, of)}
        assert {module.rpartition(".")[0] for module in importers} == {"raylot.training.fast"}


def test_the_light_folders_load_neither_ray_nor_torch() -> None:
    heavy = set(import_graph.FLOORS[4:11]) | {"trials", "sweep", "__main__"}
    light = set(import_graph.FLOORS) - heavy
    modules = sorted(module for module in _GRAPH if import_graph.floor(module) in light)
    code = (
        f"import importlib, sys; [importlib.import_module(name) for name in {modules}]; "
        "print({'ray', 'torch'} & {*sys.modules} or 'neither')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "neither\n"


def test_a_folder_that_imports_its_files_by_name_is_seen_to(tmp_path: Path) -> None:
    folder = tmp_path / "p" / "shifts"
    folder.mkdir(parents=True)
    by_name = 'from importlib import import_module\nimport_module(f"{__name__}.noise")\n'
    (folder / "__init__.py").write_text(by_name)
    (folder / "noise.py").write_text("from p.shifts import make")
    graph = import_graph.read(tmp_path / "p")
    assert import_graph.circles(graph) == [["p.shifts", "p.shifts.noise"]]


def test_relative_imports_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("from . import b")
    with pytest.raises(ValueError, match=r"^relative import: from \. import b$"):
        import_graph.read(tmp_path)
