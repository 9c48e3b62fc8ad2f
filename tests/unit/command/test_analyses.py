"""What runs again and what is skipped, with scripts that count their runs."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pyarrow import fs

from raylot import results
from raylot.command.analyses import data_fingerprint, run_analysis
from raylot.storage import Storage

#: Says how many tables there are, in bold on a terminal, and writes that down.
_SCRIPT = """
import sys
from pathlib import Path
from rich.console import Console
root = Path(sys.argv[1])
with (Path(__file__).parents[1] / "runs").open("a") as runs:
    runs.write("x")
(root / "analysis").mkdir(exist_ok=True)
count = len(list((root / "tables").rglob("*.parquet")))
(root / "analysis" / "count.txt").write_text(str(count))
Console(highlight=False).print(f"{count} tables", style="bold")
sys.exit(status)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "count.py").write_text("status = 0\n" + _SCRIPT)
    Storage(tmp_path / "storage").write("tables/tasks/a.parquet", b"one")
    return tmp_path


def _analyse(place: Path) -> tuple[bool, int]:
    """Runs the analysis: whether it ended well, and how often it has run."""
    script = place / "scripts" / "count.py"
    storage = Storage(place / "storage")
    well = run_analysis(script, storage, data_fingerprint(storage))
    return well, len((place / "runs").read_text())


def test_it_runs_once_and_then_says_the_same_again(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _analyse(place) == (True, 1)
    assert capsys.readouterr().out == "1 tables\n"
    for _ in range(2):
        assert _analyse(place) == (True, 1)
        first, *rest = capsys.readouterr().out.splitlines()
        assert first.startswith("unchanged  count.py: ")
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
    said: str, again: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "scripts" / "count.py").write_text(f"print({said!r}, end='')")
    (place / "runs").write_text("")
    _analyse(place)
    assert capsys.readouterr().out == said
    _analyse(place)
    first, _, rest = capsys.readouterr().out.partition("\n")
    assert first.startswith("unchanged  count.py: ")
    assert rest == f"{again}\n"


def test_compaction_changes_nothing_but_another_end_of_a_run_does(place: Path) -> None:
    """The row of ``runs`` of an ended run holds the digests of its files."""
    storage = Storage(place / "storage")
    for run_id in ("a1", "b2"):
        task = {"run_id": run_id, "task": 0}
        digest = results.write(storage, "tasks", run_id, [task])
        files = json.dumps({"tasks": [1, digest]})
        run = {"run_id": run_id, "kind": "stream", "status": "finished", "files": files}
        results.write(storage, "runs", run_id, [run])
    assert _analyse(place) == (True, 1)
    changed = {done.table for done in results.compact(storage) if done.after < done.before}
    assert changed == {"runs", "tasks"}
    assert _analyse(place) == (True, 1)
    before = data_fingerprint(storage)
    (name,) = storage.names("tables/tasks/compacted")
    rows = storage.read(f"tables/tasks/compacted/{name}") or b""
    storage.delete_file(f"tables/tasks/compacted/{name}")
    assert data_fingerprint(storage) != before, "rows of ended runs are missing"
    storage.write(f"tables/tasks/compacted/{name}", rows)
    results.write(storage, "runs", "b2", [{**run, "seconds": 2.0}])
    assert _analyse(place) == (True, 2)


@pytest.mark.parametrize(
    "change",
    [
        lambda place: Storage(place / "storage").write("tables/tasks/b.parquet", b"two"),
        lambda place: Storage(place / "storage").write("tables/tasks/a.parquet", b"other"),
        lambda place: Storage(place / "storage").delete_file("tables/tasks/a.parquet"),
        lambda place: Storage(place / "storage").write("commands/a.json", b"{}"),
        lambda place: Storage(place / "storage").write("state/a/state.safetensors", b""),
        lambda place: Storage(place / "storage").delete_file("analysis/count.txt"),
        lambda place: Storage(place / "storage").write("analysis/count.txt", b"by hand"),
        lambda place: (place / "scripts" / "helper.py").write_text("# changed"),
        lambda place: Storage(place / "storage").write("analysis/.count.json", b"damaged"),
        lambda place: Storage(place / "storage").write("analysis/.count.json", b"[1]"),
        lambda place: Storage(place / "storage").write("analysis/.count.json", b"{}"),
    ],
)
def test_it_runs_again_if_what_it_reads_or_wrote_has_changed(
    place: Path, change: Callable[[Path], object]
) -> None:
    assert _analyse(place) == (True, 1)
    change(place)
    assert _analyse(place) == (True, 2)
    assert _analyse(place) == (True, 2)


@pytest.mark.parametrize(
    "change",
    [
        lambda place: Storage(place / "storage").write("analysis/mine.svg", b"of the user"),
        lambda place: Storage(place / "storage").write("drivers/a.json", b"{}"),
        lambda place: Storage(place / "storage").write("tables/tasks/.a.tmp", b"half"),
    ],
)
def test_other_files_do_not_matter(place: Path, change: Callable[[Path], object]) -> None:
    assert _analyse(place) == (True, 1)
    change(place)
    assert _analyse(place) == (True, 1)


def test_an_analysis_that_failed_runs_again(place: Path) -> None:
    script = place / "scripts" / "count.py"
    script.write_text("status = 2\n" + _SCRIPT)
    assert _analyse(place) == (False, 1)
    assert _analyse(place) == (False, 2)


def test_what_a_stranger_has_written_there_does_not_steer_the_terminal(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _analyse(place)
    record = place / "storage" / "analysis" / ".count.json"
    planted = {**json.loads(record.read_text()), "said": "a\x1b[2Jb\nc\u202ed"}
    record.write_text(json.dumps(planted))
    capsys.readouterr()
    assert _analyse(place) == (True, 1)
    assert capsys.readouterr().out.endswith("\na\\x1b[2Jb\nc\\u202ed\n")


def test_an_object_store_is_known_by_names_sizes_and_times_too(place: Path) -> None:
    """A URI's file system lists its files by paths of its own."""
    storage = Storage(f"file://{place / 'storage'}")
    assert isinstance(storage.filesystem, fs.LocalFileSystem)
    script = place / "scripts" / "count.py"
    script.write_text("status = 0\n" + _SCRIPT.replace("sys.argv[1]", "sys.argv[1][7:]"))
    for runs in (1, 1):
        assert run_analysis(script, storage, data_fingerprint(storage))
        assert len((place / "runs").read_text()) == runs


def test_on_a_terminal_it_is_printed_as_on_one_and_kept_as_plain_text(place: Path) -> None:
    code = (
        "from pathlib import Path; from raylot.command.analyses import run_analysis; "
        "from raylot.storage import Storage; "
        f"run_analysis(Path({str(place / 'scripts' / 'count.py')!r}), "
        f"Storage({str(place / 'storage')!r}), '')"
    )
    here, there = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    environment.pop("NO_COLOR", None)
    subprocess.run([sys.executable, "-c", code], stdout=there, env=environment, check=True)
    os.close(there)
    assert b"\x1b[1m1 tables\x1b[0m" in os.read(here, 10_000)
    os.close(here)
    record = json.loads((place / "storage" / "analysis" / ".count.json").read_text())
    assert record["said"] == "1 tables"
