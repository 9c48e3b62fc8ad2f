"""README tells the truth: its library example runs as written, its commands name real things."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from raylot import plugins, results
from raylot.command.arguments import parse
from raylot.command.main import COMMANDS
from raylot.command.studies import STUDIES

_ROOT = Path(__file__).parents[2]
_README = (_ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", _README, re.DOTALL)


def test_the_library_example_runs_as_written() -> None:
    (example,) = [block for block in _blocks("python") if "find_tickets" in block]
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


def _commands() -> list[list[str]]:
    """The words after ``raylot`` of each such command."""
    lines = "\n".join(_blocks("bash")).replace("\\\n", " ").splitlines()
    return [shlex.split(line.split(".venv/bin/raylot ")[1]) for line in lines if "/raylot " in line]


def _plugin_files() -> dict[str, str]:
    """The examples that README says to write into a file, by the file's name."""
    return dict(re.findall(r"`([a-z]+\.py)`:\n\n```python\n(.*?)```", _README, re.DOTALL))


@pytest.fixture
def plugin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory that holds these files."""
    for name, source in _plugin_files().items():
        (tmp_path / name).write_text(source, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    plugins.forget()
    yield tmp_path
    plugins.forget()


@pytest.mark.parametrize("words", _commands(), ids=" ".join)
def test_the_commands_are_accepted(words: list[str], plugin_folder: Path) -> None:
    command, *rest = words
    if command != "sweep":
        assert command in COMMANDS
        assert any(word.startswith("results/") for word in rest)
    elif "--help" in rest:
        with pytest.raises(SystemExit) as ended:
            parse("", rest[0], rest[1:])
        assert ended.value.code == 0
    else:
        kind = STUDIES[rest[0]]
        asked = parse("", kind.name, rest[1:], kind.defaults)
        assert asked.dry_run == ("--dry-run" in rest)


def test_the_plugins_are_swept_over_as_written(plugin_folder: Path) -> None:
    """By README's own command, with less to do."""
    files = _plugin_files()
    assert len(files) == 4
    assert all(len(source.splitlines()) < 20 for source in files.values())
    (words,) = [line for line in _commands() if "--plugin" in line]
    less = "--seeds 0 --tasks 2 --snapshots 0,1 --epochs 1 --tickets 2 --sparsities 0.8 --rounds 1"
    command = [sys.executable, "-m", "raylot", *words, *less.split(), "--address", "local"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stderr
    runs = results.read("results/plugins", "runs")
    assert set(runs["status"]) == {"finished"}
    assert set(runs["shift"]) == {"dim", "stationary"}
    assert set(runs["intervention"]) == {"none", "clip"}
    assert set(runs["network"]) == {"tanh"}
    plasticity = results.read("results/plugins", "plasticity")
    saturated = plasticity.loc[plasticity["metric"] == "saturated", "value"]
    assert len(saturated) == 4 * 2 * 2  # streams, snapshots, the hidden layer and all of them
    assert saturated.between(0, 1).all()


def test_its_links_lead_somewhere() -> None:
    for path in (_ROOT / "README.md", _ROOT / "sweeps" / "cluster" / "README.md"):
        text = path.read_text(encoding="utf-8")
        links = re.findall(r"\]\(((?!https?:)[^)]+)\)", text)
        headings = {
            re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        }
        for link in links:
            if link.startswith("#"):
                assert link[1:] in headings
            else:
                assert (path.parent / link).exists(), link


def test_the_files_it_names_exist() -> None:
    named = set(re.findall(r"\b(?:raylot|sweeps|analysis)/[a-z_/]+\.py\b", _README))
    assert len(named) >= 8
    assert not [name for name in sorted(named) if not (_ROOT / name).exists()]
