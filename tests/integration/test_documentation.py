"""README and docs tell the truth: their example runs, their commands and links name real things."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from raylot import plugins
from raylot.command.arguments import parse
from raylot.command.main import main
from raylot.command.studies import STUDIES
from raylot.config import Study
from raylot.foundation.names import BUILT_IN
from raylot.reproductions import EXPERIMENTS
from raylot.results.columns import COLUMNS
from tests.support import docs, tables_page


def test_the_library_example_runs_as_written() -> None:
    (example,) = [b for b in docs.blocks("docs/python.md", "python") if "find_tickets" in b]
    names: dict[str, object] = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(example, "docs/python.md", "exec"), names)
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
    """A working directory that holds the plugins of docs/extending.md, settings found, images."""
    docs.write_plugins(tmp_path)
    images, labels = np.zeros((1000, 32, 32, 3), np.uint8), np.arange(1000) % 10
    np.savez(
        tmp_path / "cifar10_subset.npz",
        x_train=images, y_train=labels, x_test=images, y_test=labels,
    )  # fmt: skip
    for storage in ("best", "best_settings"):
        (tmp_path / "results" / storage).mkdir(parents=True)
        (tmp_path / "results" / storage / "best.yaml").write_text("lr: 0.002\n")
    monkeypatch.chdir(tmp_path)
    plugins.forget()
    yield tmp_path
    plugins.forget()


@pytest.mark.parametrize("words", docs.commands(), ids=" ".join)
def test_the_commands_are_accepted(
    words: list[str], plugin_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, *rest = words
    if command == "reproduce":
        name, *options = rest or [""]
        assert not name or name in EXPERIMENTS
        parse("", name, options, model=Study)
    elif command != "sweep":  # all of it is accepted but the storage, which is not there
        assert main(words) == 2
        assert capsys.readouterr().err.startswith(f"error: STORAGE={plugin_folder}/")
    elif "--help" in rest:
        with pytest.raises(SystemExit) as ended:
            parse("", rest[0], rest[1:])
        assert ended.value.code == 0
    else:
        kind = STUDIES[rest[0]]
        asked = parse("", kind.name, rest[1:], kind.defaults, model=kind.model)
        assert asked.dry_run == ("--dry-run" in rest)


@pytest.mark.parametrize("page", docs.PAGES, ids=lambda page: str(page.relative_to(docs.ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(((?!https?:)[^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {
        re.sub(r"[^\w -]", "", re.sub(r"\]\(.*?\)", "", heading.lower())).replace(" ", "-")
        for heading in headings
    }


def test_every_page_is_in_the_list() -> None:
    listed = docs.text("docs/README.md")
    pages = {page.name for page in docs.PAGES if page.parent.name == "docs"} - {"README.md"}
    assert len(pages) >= 20
    assert not [name for name in sorted(pages) if f"({name})" not in listed]


def test_the_files_that_pages_name_exist() -> None:
    named = set()
    for page in docs.PAGES:
        if page.name != "CHANGELOG.md":  # it names what was there once
            text = page.read_text(encoding="utf-8")
            named |= set(re.findall(r"\b(?:raylot|sweeps|analysis|tests)/[a-z_/]+\.py\b", text))
    assert len(named) >= 20
    assert not [name for name in sorted(named) if not (docs.ROOT / name).exists()]


def test_readme_is_short_and_counts_right() -> None:
    text = docs.text("README.md")
    assert len(text.splitlines()) <= 150
    counts = re.search(
        r"(\d+) methods that keep plasticity, (\d+) shifts, (\d+) networks, (\d+) pruning", text
    )
    assert counts
    kinds = ("intervention", "shift", "network", "criterion")
    there = [len(set(BUILT_IN[kind]) - {"none"}) for kind in kinds]
    assert [int(count) for count in counts.groups()] == there


def test_the_page_of_columns_is_that_of_the_schemas() -> None:
    told = "run python -m tests.support.tables_page"
    assert docs.text("docs/tables.md") == tables_page.page(), told
    meanings = [c.meaning for columns in COLUMNS.values() for c in columns.values()]
    assert all(meanings)
