"""An editable installation is found from every folder, the clone's parent included."""

from __future__ import annotations

import shutil
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this clone, in a folder called raylot, installed into an environment of its own."""
    folder = tmp_path_factory.mktemp("parent") / "raylot"
    folder.mkdir()
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(_ROOT / name, folder)
    for name in ("raylot", "sweeps"):
        shutil.copytree(_ROOT / name, folder / name)
    venv.create(folder / ".venv", with_pip=False)
    packages = next((folder / ".venv").glob("lib/python*/site-packages"))
    # Dependencies, and the build backend, are those of this environment; nothing is downloaded.
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(folder / ".venv" / "bin" / "python"),
         "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", str(folder)],
        check=True,
    )  # fmt: skip
    return folder


@pytest.mark.parametrize("place", [".", "..", "sweeps", "/"])
def test_python_finds_the_package_from_every_folder(clone: Path, place: str) -> None:
    script = "import raylot; print(raylot.__file__); print(raylot.find_tickets.__module__)"
    found = subprocess.run(
        [str(clone / ".venv" / "bin" / "python"), "-c", script],
        cwd=clone / place, capture_output=True, text=True, check=True,
    )  # fmt: skip
    package, module = found.stdout.split()
    assert package == str(clone / "raylot" / "__init__.py")
    assert module == "raylot.tickets.find"


def test_a_script_beside_the_clone_finds_it(clone: Path) -> None:
    script = clone.parent / "mine.py"
    script.write_text("import raylot; print(raylot.load_dataset('digits').classes)")
    python = str(clone / ".venv" / "bin" / "python")
    found = subprocess.run([python, str(script)], capture_output=True, text=True, check=True)
    assert found.stdout == "10\n"
