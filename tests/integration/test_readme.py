"""README tells the truth: its library example runs as written, its commands name real things."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from raylot import plugins
from raylot.command.arguments import parse
from raylot.command.main import main
from raylot.command.studies import STUDIES
from tests.support import readme


def test_the_library_example_runs_as_written() -> None:
    (example,) = [block for block in readme.blocks("python") if "find_tickets" in block]
    names: dict[str, object] = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(example, "README.md", "exec"), names)
    tickets = names["tickets"]
    assert len(tickets.masks) == 2  # type: ignore[attr-defined]
    assert min(tickets.accuracies) > 0.8  # type: ignore[attr-defined]
    overlaps = tickets.overlaps()  # type: ignore[attr-defined]
    assert isinstance(overlaps, pd.DataFrame)
    assert list(overlaps) == [
        "ticket_a", "ticket_b", "jaccard", "chance", "corrected", "chance_untrained",
        "beyond_untrained", "jaccard_matched",
    ]  # fmt: skip
    assert "jaccard" in printed.getvalue()


@pytest.fixture
def plugin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory that holds README's plugins."""
    readme.write_plugins(tmp_path)
    monkeypatch.chdir(tmp_path)
    plugins.forget()
    yield tmp_path
    plugins.forget()


@pytest.mark.parametrize("words", readme.commands(), ids=" ".join)
def test_the_commands_are_accepted(
    words: list[str], plugin_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, *rest = words
    if command != "sweep":  # all of it is accepted but the storage, which is not there
        assert main(words) == 2
        assert capsys.readouterr().err.startswith(f"error: STORAGE={plugin_folder}/results/")
    elif "--help" in rest:
        with pytest.raises(SystemExit) as ended:
            parse("", rest[0], rest[1:])
        assert ended.value.code == 0
    else:
        kind = STUDIES[rest[0]]
        asked = parse("", kind.name, rest[1:], kind.defaults)
        assert asked.dry_run == ("--dry-run" in rest)


def test_its_links_lead_somewhere() -> None:
    for path in (readme.ROOT / "README.md", readme.ROOT / "sweeps" / "cluster" / "README.md"):
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
    named = set(re.findall(r"\b(?:raylot|sweeps|analysis)/[a-z_/]+\.py\b", readme.TEXT))
    assert len(named) >= 8
    assert not [name for name in sorted(named) if not (readme.ROOT / name).exists()]
