"""README tells the truth: its library example runs as written, its commands name real things."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

from raylot import cli

_ROOT = Path(__file__).parents[1]
_README = (_ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", _README, re.DOTALL)


def test_the_library_example_runs_as_written(mnist_root: Path) -> None:
    (example,) = [block for block in _blocks("python") if "find_tickets" in block]
    example = example.replace('ROOT = "../shared/data"', f"ROOT = {str(mnist_root)!r}")
    assert str(mnist_root) in example
    names: dict[str, object] = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(example, "README.md", "exec"), names)
    tickets = names["tickets"]
    assert len(tickets.masks) == 2  # type: ignore[attr-defined]
    assert min(tickets.accuracies) > 0.8  # type: ignore[attr-defined]
    overlaps = tickets.overlaps()  # type: ignore[attr-defined]
    assert isinstance(overlaps, pd.DataFrame)
    assert list(overlaps) == ["ticket_a", "ticket_b", "jaccard", "chance", "corrected"]
    assert "jaccard" in printed.getvalue()


def _sweep_commands() -> list[list[str]]:
    lines = "\n".join(_blocks("bash")).replace("\\\n", " ").splitlines()
    words = [shlex.split(line) for line in lines if line.startswith(".venv/bin/python sweeps/")]
    return [line[2:] for line in words]


@pytest.mark.parametrize("arguments", _sweep_commands(), ids=" ".join)
def test_the_sweep_commands_are_accepted(arguments: list[str]) -> None:
    if "--help" in arguments:
        with pytest.raises(SystemExit) as ended:
            cli.parse("", "name", arguments)
        assert ended.value.code == 0
    else:
        assert cli.parse("", "name", arguments).dry_run == ("--dry-run" in arguments)


def test_the_files_it_names_exist() -> None:
    named = set(re.findall(r"\b(?:raylot|sweeps|analysis)/[a-z_/]+\.py\b", _README))
    assert len(named) >= 8
    assert not [name for name in sorted(named) if not (_ROOT / name).exists()]
