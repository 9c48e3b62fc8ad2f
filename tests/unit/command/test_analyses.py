"""What runs again and what is skipped, with an analysis that counts its runs."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs
from rich.console import Console

from raylot import results
from raylot.command import analyses
from raylot.command.analyses import data_fingerprint, run_analysis
from raylot.foundation.errors import OptionError
from raylot.storage import Storage


class Place:
    """A storage, and an analysis called ``count`` that does `run`."""

    def __init__(self, folder: Path) -> None:
        self.storage = Storage(folder / "storage")
        self.package = folder / "package"
        self.package.mkdir()
        self.runs = 0
        self.run: Callable[[Storage], object] = self.count

    def main(self, arguments: Sequence[str]) -> None:
        (root,) = arguments
        self.runs += 1
        self.run(Storage(root))

    def count(self, storage: Storage) -> None:
        """Says how many tables there are, in bold on a terminal, and writes that down."""
        tables = len(storage.versions("tables"))
        storage.write("analysis/count.txt", str(tables).encode())
        Console(highlight=False).print(f"{tables} tables", style="bold")

    def analyse(self) -> tuple[bool, int]:
        """Runs the analysis: whether it ended well, and how often it has run."""
        return run_analysis("count", self.storage, data_fingerprint(self.storage)), self.runs


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    place = Place(tmp_path)
    module: Any = types.ModuleType("count_tables")
    module.main = place.main
    monkeypatch.setitem(sys.modules, "count_tables", module)
    monkeypatch.setitem(analyses.ANALYSES, "count", "count_tables")
    monkeypatch.setattr(analyses, "_PACKAGE", place.package)
    place.storage.write("tables/tasks/a.parquet", b"one")
    return place


def test_it_runs_once_and_then_says_the_same_again(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.analyse() == (True, 1)
    assert capsys.readouterr().out == "1 tables\n"
    for _ in range(2):
        assert place.analyse() == (True, 1)
        first, *rest = capsys.readouterr().out.splitlines()
        assert first.startswith("unchanged  count: ")
        assert rest == ["1 tables"]


@pytest.mark.parametrize(
    ("said", "again"),
    [
        ("written   a\nwritten   b\n\nfigures  there\n", "figures  there"),
        ("a table\n\nAnswer (so far):\nyes\n\nno\n\nAll of it: there\n",
         "Answer (so far):\nyes\n\nno\n\nAll of it: there"),
        ("two\nAnswer: digits\nyes\nAnswer: mnist\nno\n", "Answer: digits\nyes\nAnswer: mnist\nno"),
        ("", ""),
    ],
)  # fmt: skip
def test_what_it_repeats_is_its_answer_or_last_line(
    said: str, again: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.run = lambda storage: print(said, end="")
    place.analyse()
    assert capsys.readouterr().out == said
    place.analyse()
    first, _, rest = capsys.readouterr().out.partition("\n")
    assert first.startswith("unchanged  count: ")
    assert rest == f"{again}\n"


def test_compaction_changes_nothing_but_another_end_of_a_run_does(place: Place) -> None:
    """The row of ``runs`` of an ended run holds the digests of its files."""
    storage = place.storage
    for run_id in ("a1", "b2"):
        task = {"run_id": run_id, "task": 0}
        digest = results.write(storage, "tasks", run_id, [task])
        files = json.dumps({"tasks": [1, digest]})
        run = {"run_id": run_id, "kind": "stream", "status": "finished", "files": files}
        results.write(storage, "runs", run_id, [run])
    assert place.analyse() == (True, 1)
    changed = {done.table for done in results.compact(storage) if done.after < done.before}
    assert changed == {"runs", "tasks"}
    assert place.analyse() == (True, 1)
    before = data_fingerprint(storage)
    (name,) = storage.names("tables/tasks/compacted")
    rows = storage.read(f"tables/tasks/compacted/{name}") or b""
    storage.delete_file(f"tables/tasks/compacted/{name}")
    assert data_fingerprint(storage) != before, "rows of ended runs are missing"
    storage.write(f"tables/tasks/compacted/{name}", rows)
    results.write(storage, "runs", "b2", [{**run, "seconds": 2.0}])
    assert place.analyse() == (True, 2)


@pytest.mark.parametrize(
    "change",
    [
        lambda place: place.storage.write("tables/tasks/b.parquet", b"two"),
        lambda place: place.storage.write("tables/tasks/a.parquet", b"other"),
        lambda place: place.storage.delete_file("tables/tasks/a.parquet"),
        lambda place: place.storage.write("commands/a.json", b"{}"),
        lambda place: place.storage.write("state/a/state.safetensors", b""),
        lambda place: place.storage.delete_file("analysis/count.txt"),
        lambda place: place.storage.write("analysis/count.txt", b"by hand"),
        lambda place: (place.package / "helper.py").write_text("# changed"),
        lambda place: place.storage.write("analysis/.count.json", b"damaged"),
        lambda place: place.storage.write("analysis/.count.json", b"[1]"),
        lambda place: place.storage.write("analysis/.count.json", b"{}"),
    ],
)
def test_it_runs_again_if_what_it_reads_or_wrote_has_changed(
    place: Place, change: Callable[[Place], object]
) -> None:
    assert place.analyse() == (True, 1)
    change(place)
    assert place.analyse() == (True, 2)
    assert place.analyse() == (True, 2)


@pytest.mark.parametrize(
    "change",
    [
        lambda place: place.storage.write("analysis/mine.svg", b"of the user"),
        lambda place: place.storage.write("drivers/a.json", b"{}"),
        lambda place: place.storage.write("tables/tasks/.a.tmp", b"half"),
    ],
)
def test_other_files_do_not_matter(place: Place, change: Callable[[Place], object]) -> None:
    assert place.analyse() == (True, 1)
    change(place)
    assert place.analyse() == (True, 1)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OptionError("storage=x: too bad"), "error: STORAGE=x: too bad\n"),
        (ZeroDivisionError("too bad"), "ZeroDivisionError: too bad\n"),
    ],
)
def test_an_analysis_that_failed_says_why_and_runs_again(
    error: Exception, told: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(storage: Storage) -> None:
        raise error

    place.run = fail
    assert place.analyse() == (False, 1)
    assert capsys.readouterr().err.endswith(told)
    assert place.analyse() == (False, 2)


def test_what_a_stranger_has_written_there_does_not_steer_the_terminal(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.analyse()
    record = json.loads(place.storage.read("analysis/.count.json") or b"")
    planted = {**record, "said": "a\x1b[2Jb\nc\u202ed"}
    place.storage.write("analysis/.count.json", json.dumps(planted).encode())
    capsys.readouterr()
    assert place.analyse() == (True, 1)
    assert capsys.readouterr().out.endswith("\na\\x1b[2Jb\nc\\u202ed\n")


def test_an_object_store_is_known_by_names_sizes_and_times_too(place: Place) -> None:
    """A URI's file system lists its files by paths of its own."""
    place.storage = Storage(f"file://{place.storage.root}")
    assert isinstance(place.storage.filesystem, fs.LocalFileSystem)
    for _ in range(2):
        assert place.analyse() == (True, 1)


def test_on_a_terminal_it_is_printed_as_on_one_and_kept_as_plain_text(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    here, there = pty.openpty()
    with os.fdopen(there, "w") as terminal, contextlib.redirect_stdout(terminal):
        place.analyse()
        assert b"\x1b[1m1 tables\x1b[0m" in os.read(here, 10_000)
    os.close(here)
    record = json.loads(place.storage.read("analysis/.count.json") or b"")
    assert record["said"] == "1 tables"
