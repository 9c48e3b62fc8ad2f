"""The texts of README, CONTRIBUTING and docs/, and the code in them, as a reader copies it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: Every page that users read.
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md"), *(ROOT / "sweeps").glob("**/*.md")]
)


def text(page: str) -> str:
    """Returns a page, named by its path below the project's folder."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    """Returns the blocks of code of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text(page), re.DOTALL)


def commands() -> list[list[str]]:
    """The words after ``raylot`` of each such command in README and docs."""
    pages = [str(page.relative_to(ROOT)) for page in PAGES if page.name != "CHANGELOG.md"]
    code = "\n".join(block for page in pages for block in blocks(page, "bash"))
    lines = code.replace("\\\n", "").splitlines()
    found = [line.split(".venv/bin/raylot ")[1] for line in lines if ".venv/bin/raylot " in line]
    return [list(words) for words in dict.fromkeys(tuple(shlex.split(line)) for line in found)]


def write_plugins(folder: Path) -> list[Path]:
    """Writes the examples that docs/extending.md says to write into files of their own."""
    files = []
    found = re.findall(
        r"`([a-z]+\.py)`:\n\n```python\n(.*?)```", text("docs/extending.md"), re.DOTALL
    )
    for name, source in found:
        files.append(folder / name)
        files[-1].write_text(source, encoding="utf-8")
    return files
