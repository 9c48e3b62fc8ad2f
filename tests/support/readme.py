"""The code in README.md, as a reader copies it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def commands() -> list[list[str]]:
    """The words after ``raylot`` of each such command."""
    lines = "\n".join(blocks("bash")).replace("\\\n", " ").splitlines()
    return [shlex.split(line.split(".venv/bin/raylot ")[1]) for line in lines if "/raylot " in line]


def write_plugins(folder: Path) -> list[Path]:
    """Writes the examples that README says to write into files of their own."""
    files = []
    for name, source in re.findall(r"`([a-z]+\.py)`:\n\n```python\n(.*?)```", TEXT, re.DOTALL):
        files.append(folder / name)
        files[-1].write_text(source, encoding="utf-8")
    return files
