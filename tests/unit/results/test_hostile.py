"""A stranger's storage: nothing outside of it is touched, and each oddity is told in one line."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import pytest

from raylot import results
from raylot.command.main import main
from raylot.results.integrity import inspect, mend
from raylot.results.manifest import Manifest
from raylot.storage import Storage
from raylot.trials.artifacts import gradients_path, masks_path
from tests.unit.results.hostile import OUTSIDE, contents, hostile_files, hostile_states
from tests.unit.trials.runs import run_all


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with two streams, their tickets, and a file beside it."""
    folder = tmp_path_factory.mktemp("whole")
    for seed in (0, 1):
        run_all(folder / "storage", seed=seed)
    (folder / "outside").mkdir()
    (folder / "outside" / "kept").write_bytes(b"the user's own")
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def _row(storage: Storage, kind: str = "stream") -> dict[str, object]:
    rows = results.read(storage, "runs")
    (run_id, *_) = rows["run_id"][rows["kind"] == kind].sort_values()
    (row,) = results.read_run(storage, "runs", run_id) or []
    return row


def _checked(root: str, capsys: pytest.CaptureFixture[str], *options: str) -> list[str]:
    """The lines that a check says, of a storage with exactly one thing that is wrong."""
    assert main(["check", *options, root]) == 1
    said, told = capsys.readouterr()
    assert told == ""
    assert said.replace("\n", "").isprintable()
    return said.splitlines()


def test_the_check_names_each_odd_row_in_one_line_and_goes_on(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = Storage(folder / "storage")
    row = _row(storage)
    path = f"tables/runs/{row['run_id']}.parquet"
    tried = 0
    for content in hostile_files(row):
        tried += 1
        storage.write(path, content)
        lines = _checked(storage.root, capsys)
        damaged = [line for line in lines if line.startswith("damaged: ")]
        assert damaged, content
        assert all(len(line) < 1000 for line in lines)
        assert all(str(row["run_id"]) in line or "tickets" in line for line in damaged)
        # the other stream and both searches are still counted
        counts = {line.split()[0]: line.split()[1:3] for line in lines[1:] if line.strip()}
        assert counts["stream"] == ["1", "0"]
        assert "tickets" in counts
    assert tried > 150


def test_neither_a_check_nor_a_repair_touches_anything_outside(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = Storage(folder / "storage")
    row = _row(storage)
    path = f"tables/runs/{row['run_id']}.parquet"
    outside = {
        name: data for name, data in contents(folder).items() if not name.startswith(storage.root)
    }
    for content in itertools.islice(hostile_files(row), 0, None, 3):
        storage.write(path, content)
        _checked(storage.root, capsys, "--repair")
        after = contents(folder)
        assert {n: data for n, data in after.items() if not n.startswith(storage.root)} == outside
        assert str(row["run_id"]) not in results.finished_runs(storage)
    assert len(outside) == 1


@pytest.mark.parametrize("column", ["files", "inputs"])
def test_no_path_leaves_the_storage_though_the_row_is_whole(folder: Path, column: str) -> None:
    """Rows as raylot itself writes them, in compacted tables too."""
    storage = Storage(folder / "storage")
    row = _row(storage, "tickets")
    for path in (*OUTSIDE, "../../{run}", "../copy/outside/kept"):
        text = json.dumps({path.format(run=row["run_id"]): "0" * 64})
        if path == ("artifacts/other/kept" if column == "inputs" else "artifacts\\..\\kept"):
            # an artifact that another run may well have left; a table that nobody has heard of
            ended = Manifest.of({**row, column: text})
            run_id = str(row["run_id"])
            own = {masks_path(run_id, 0), masks_path(run_id, 1), gradients_path(run_id)}
            assert set(ended.artifacts) <= own
            continue
        with pytest.raises(ValueError, match=f"^{column}="):
            Manifest.of({**row, column: text})
    results.write(storage, "runs", str(row["run_id"]), [{**row, column: text}])
    for _ in range(2):
        found = inspect(storage, artifacts=True)
        (damage,) = found.damages
        assert damage.run_ids == (row["run_id"],)
        assert damage.reason.startswith(f"{column}=")
        results.compact(storage)
    mend(storage, found.damages)
    assert (folder / "outside" / "kept").read_bytes() == b"the user's own"
    assert row["run_id"] not in results.finished_runs(storage)


def test_odd_states_are_no_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_all(tmp_path)
    capsys.readouterr()  # what the workers log
    storage = Storage(tmp_path)
    for content in hostile_states():
        storage.write("state/0123456789ab/state.safetensors", content)
        assert main(["check", str(tmp_path)]) in (0, 1)
        said, told = capsys.readouterr()
        assert told == ""
        assert said.replace("\n", "").isprintable()
        assert len(said.splitlines()) <= 7


def test_folders_in_place_of_files_are_no_files(folder: Path) -> None:
    storage = Storage(folder / "storage")
    run_id = str(_row(storage)["run_id"])
    for path in (
        f"tables/tasks/{run_id}.parquet", f"artifacts/{run_id}/snapshot-0.safetensors",
    ):  # fmt: skip
        (folder / "storage" / path).unlink()
        (folder / "storage" / path).mkdir()
    (folder / "storage" / "commands" / "x.json").mkdir(parents=True)
    found = {damage.path: damage.reason for damage in inspect(storage, artifacts=True).damages}
    assert found == {
        f"tables/tasks/{run_id}.parquet": "0 of the run's 4 rows are there",
        f"artifacts/{run_id}/snapshot-0.safetensors": "is not there",
        "commands/x.json": "is no record of a command",
    }


@pytest.mark.parametrize("name", ["..", "a b", "a" * 65, "é", "a-b", "%2e%2e", "a\nb"])
def test_a_table_file_whose_name_is_no_run_is_named_and_not_read(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = Storage(folder / "storage")
    run_id = str(_row(storage)["run_id"])
    content = (storage.read(f"tables/tasks/{run_id}.parquet")) or b""
    (folder / "storage" / "tables" / "tasks" / f"{name}.parquet").write_bytes(content)
    rows = len(results.read(storage, "tasks"))
    assert rows == 8
    if name != "..":  # "...parquet" is hidden
        lines = _checked(storage.root, capsys)
        assert [line for line in lines if "its name is no run_id" in line]
        assert main(["check", "--repair", storage.root]) == 1
    assert main(["check", storage.root]) == 0


@pytest.mark.parametrize(
    ("kind", "column"), [("stream", "tasks"), ("stream", "snapshots"), ("tickets", "tickets")]
)
def test_a_row_that_does_not_say_how_far_its_run_goes_is_taken_as_it_is(
    folder: Path, kind: str, column: str
) -> None:
    row = _row(Storage(folder / "storage"), kind)
    assert Manifest.of(row).extent
    assert Manifest.of({**row, column: None}).extent == {}


@pytest.mark.parametrize("snapshots", ["", "0,", "0, 2", "-1", "x", "0,2\n"])
def test_snapshots_of_a_row_are_numbers(folder: Path, snapshots: str) -> None:
    row = _row(Storage(folder / "storage"), "stream")
    with pytest.raises(ValueError, match=r"^snapshots="):
        Manifest.of({**row, "snapshots": snapshots})
