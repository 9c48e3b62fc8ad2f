"""raylot works once it is installed: a clone in every folder, a wheel in an empty one."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_TINY = [
    "--address", "local", "--tasks", "3", "--snapshots", "0,2", "--epochs", "1", "--batch-size",
    "256", "--hidden", "8", "--tickets", "2", "--rounds", "1", "--seeds", "0", "--sparsities",
    "0.8", "--shifts", "permuted_pixels", "--probe-size", "50", "--ntk-examples", "0",
    "--sharpness-iterations", "0", "--interventions", "none", "--probe-tasks", "1",
    "--storage", "results", "--max-concurrent", "1",
]  # fmt: skip


def _pip(python: Path, *words: str) -> None:
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    offline = ["--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, words[0], *offline, *words[1:]], check=True)


def _environment(folder: Path) -> Path:
    """The Python of a fresh environment; dependencies are those of this one, nothing is loaded."""
    venv.create(folder, with_pip=False)
    packages = next(folder.glob("lib/python*/site-packages"))
    here = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "dependencies.pth").write_text("\n".join(here))
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this clone, in a folder called raylot."""
    folder = tmp_path_factory.mktemp("parent") / "raylot"
    folder.mkdir()
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(_ROOT / name, folder)
    for name in ("raylot", "sweeps"):
        shutil.copytree(_ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


# ------------------------------------------------------------------ an editable installation


@pytest.fixture(scope="module")
def python(clone: Path) -> Path:
    """The Python of an environment in the clone, into which the clone is installed."""
    python = _environment(clone / ".venv")
    _pip(python, "install", "--editable", str(clone))
    return python


@pytest.mark.parametrize("place", [".", "..", "sweeps", "/"])
def test_python_finds_the_package_from_every_folder(clone: Path, python: Path, place: str) -> None:
    script = "import raylot; print(raylot.__file__); print(raylot.find_tickets.__module__)"
    found = subprocess.run(
        [str(python), "-c", script], cwd=clone / place, capture_output=True, text=True, check=True
    )
    package, module = found.stdout.split()
    assert package == str(clone / "raylot" / "__init__.py")
    assert module == "raylot.tickets.find"


def test_a_script_beside_the_clone_finds_it(clone: Path, python: Path) -> None:
    script = clone.parent / "mine.py"
    script.write_text("import raylot; print(raylot.load_dataset('digits').classes)")
    found = subprocess.run([str(python), str(script)], capture_output=True, text=True, check=True)
    assert found.stdout == "10\n"


# ------------------------------------------------------------------ a wheel


def test_the_command_works_from_a_wheel_in_an_empty_folder(
    clone: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A study by a copied script in a folder of its own, then each command on its results."""
    folder = tmp_path_factory.mktemp("wheel")
    python = _environment(folder / "environment")
    _pip(python, "wheel", "--wheel-dir", str(folder), str(clone))
    (wheel,) = folder.glob("raylot-*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    page = (clone / "raylot" / "analysis" / "report" / "page").iterdir()
    assert packed >= {str(file.relative_to(clone)) for file in page}
    assert not [name for name in packed if not name.startswith("raylot")]
    _pip(python, "install", str(wheel))
    empty = folder / "empty"
    empty.mkdir()

    def run(*words: object, status: int = 0) -> str:
        done = subprocess.run(
            [str(word) for word in words],
            cwd=empty, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr if status else done.stdout

    raylot = python.with_name("raylot")
    assert "sweep" in run(raylot, "--help") == run(python, "-m", "raylot", "--help")
    assert list(empty.iterdir()) == []
    shutil.copy(clone / "sweeps" / "ticket_count_vs_plasticity.py", empty / "mine.py")
    said = run(python, "mine.py", *_TINY)
    assert "7 runs finished" in said
    answer = said[said.index("Answer") :]
    report = empty / "results" / "analysis" / "report.html"
    assert report.exists()
    again = run(raylot, "sweep", "ticket-count-vs-plasticity", *_TINY)
    assert again.endswith(answer)
    assert again.count("unchanged  ") == 3
    report.unlink()
    run(raylot, "report", "results")
    assert report.exists()
    analysed = run(raylot, "analyse", "results")
    assert analysed.endswith(answer)
    assert "written   along_stream" in analysed
    assert "Every file is as it was written." in run(raylot, "check", "results")
    assert run(raylot, "compact", "results").endswith("Done.\n")
    assert run(raylot, "chek", status=2) == "error: chek: unknown command; did you mean check?\n"
