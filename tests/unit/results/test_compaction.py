"""It needs an idle storage, and no row is lost or read twice."""

from __future__ import annotations

import json
import math
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from raylot import results
from raylot.command.main import main
from raylot.foundation.errors import OptionError
from raylot.results import compaction, files
from raylot.results.integrity import inspect
from raylot.results.schemas import SCHEMAS
from raylot.storage import Storage
from raylot.storage.lease import Lease, holders

#: Run -> how many rows it has in ``tasks``.
ROWS = {"a": 2, "b": 0, "c": 3, "d": 1}
UNFINISHED, FAILED = "e", "f"

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


@pytest.fixture
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda file: None)


class Killed(BaseException):
    """The process ends here: nothing after it happens."""


class MortalStorage(Storage):
    """A storage whose process is killed at its n-th operation, before or after it took effect."""

    def __init__(self, root: str | Path, at: int = -1, after: bool = False) -> None:
        super().__init__(root)
        self.left, self.after = at, after

    def _live(self, operation: Callable[[], Any]) -> Any:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Killed
        found = operation()
        if self.left == 0:
            raise Killed
        return found

    def write(self, relative: str, data: bytes) -> None:
        self._live(lambda: super(MortalStorage, self).write(relative, data))

    def read(self, relative: str) -> bytes | None:
        found: bytes | None = self._live(lambda: super(MortalStorage, self).read(relative))
        return found

    def names(self, folder: str) -> list[str]:
        found: list[str] = self._live(lambda: super(MortalStorage, self).names(folder))
        return found

    def delete_file(self, relative: str) -> None:
        self._live(lambda: super(MortalStorage, self).delete_file(relative))


def write_run(storage: Storage, run_id: str, rows: int, status: str | None = "finished") -> None:
    results.write(
        storage, "tasks", run_id, [{"run_id": run_id, "task": task} for task in range(rows)]
    )
    if status is not None:
        results.write(storage, "runs", run_id, [_end(run_id, status)])


def _end(run_id: str, status: str = "finished", **told: object) -> dict[str, object]:
    return {"run_id": run_id, "kind": "stream", "status": status, **told}


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """Four ended runs, one that has not ended and one that failed."""
    storage = Storage(tmp_path / "root")
    for run_id, rows in ROWS.items():
        write_run(storage, run_id, rows)
    write_run(storage, UNFINISHED, 1, None)
    write_run(storage, FAILED, 1, "failed")
    return storage


def compact(storage: Storage) -> list[compaction.Compacted]:
    return list(results.compact(storage))


def rows_of(storage: Storage) -> dict[str, int]:
    """Rows of each run in ``tasks``; each row is there once."""
    frame = results.read(storage, "tasks")
    assert not frame.duplicated(["run_id", "task"]).any()
    return {str(run_id): len(own) for run_id, own in frame.groupby("run_id")}


ALL_ROWS = {run_id: rows for run_id, rows in ROWS.items() if rows} | {UNFINISHED: 1, FAILED: 1}


def is_whole(storage: Storage) -> bool:
    """Whether every way of reading finds all there is, once."""
    assert rows_of(storage) == ALL_ROWS
    assert results.finished_runs(storage) == {*ROWS, FAILED}
    for run_id, rows in ROWS.items():
        own = results.read_run(storage, "tasks", run_id) or []
        assert [row["task"] for row in own] == list(range(rows))
        assert results.read_run(storage, "runs", run_id) is not None
    assert results.read_run(storage, "runs", UNFINISHED) is None
    return True


def small(storage: Storage, table: str = "tasks") -> set[str]:
    return set(files.small_runs(storage, table))


def large(storage: Storage, table: str = "tasks") -> list[files.TableFile]:
    return list(files.undamaged(files.large_files(storage, table)))


# ------------------------------------------------------------------ what it does


def test_ended_runs_are_gathered_and_the_others_left(storage: Storage) -> None:
    before = {table: results.read(storage, table) for table in SCHEMAS}
    counts = {found.table: (found.before, found.after) for found in compact(storage)}
    assert counts["tasks"] == (6, 3)
    assert counts["runs"] == (5, 2)
    assert counts["overlaps"] == (0, 0)
    assert small(storage) == {UNFINISHED, FAILED}
    assert small(storage, "runs") == {FAILED}
    [file] = large(storage)
    assert file.counts == {"a": 2, "c": 3, "d": 1}
    assert is_whole(storage)
    for table, expected in before.items():
        found = results.read(storage, table).sort_values("run_id", ignore_index=True)
        pd.testing.assert_frame_equal(found, expected.sort_values("run_id", ignore_index=True))
        if len(expected):
            plain = pd.read_parquet(Path(storage.root) / "tables" / table)
            plain = plain.sort_values("run_id", ignore_index=True)
            pd.testing.assert_frame_equal(plain, found)


def test_the_second_time_there_is_nothing_to_do(storage: Storage) -> None:
    compact(storage)
    contents = {path: path.read_bytes() for path in Path(storage.root).rglob("*.parquet")}
    assert all(found.before == found.after for found in compact(storage))
    assert {p: p.read_bytes() for p in Path(storage.root).rglob("*.parquet")} == contents


def test_runs_that_end_later_are_gathered_later(storage: Storage) -> None:
    compact(storage)
    results.write(storage, "runs", UNFINISHED, [_end(UNFINISHED, "diverged")])
    write_run(storage, "g", 2)
    compact(storage)
    assert small(storage) == {FAILED}
    assert rows_of(storage) == ALL_ROWS | {"g": 2}
    assert results.finished_runs(storage) == {*ROWS, UNFINISHED, FAILED, "g"}


def test_large_files_are_bounded(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "_MOST_RUNS", 3)
    compact(storage)
    assert [dict(file.counts) for file in large(storage)] == [{"a": 2, "c": 3}, {"d": 1}]
    assert is_whole(storage)


def test_files_that_are_not_what_their_runs_wrote_stay(storage: Storage) -> None:
    """Compaction would make them look right: a large file has a digest of its own."""
    digests = {run_id: results.write(storage, "tasks", run_id, _rows(run_id, 2)) for run_id in "ac"}
    for run_id, digest in digests.items():
        told = {"files": json.dumps({"tasks": [2, digest]})}
        results.write(storage, "runs", run_id, [_end(run_id, **told)])
    results.write(storage, "tasks", "a", [{"run_id": "a", "task": 7}] * 2)
    results.write(storage, "tasks", "c", _rows("d", 2))
    compact(storage)
    assert small(storage) == {"a", "c", UNFINISHED, FAILED}
    damages = {damage.path: damage.reason for damage in inspect(storage).damages}
    assert damages == {
        "tables/tasks/a.parquet": "it is not what the run wrote",
        "tables/tasks/c.parquet": "it holds rows of another run",
    }


def _rows(run_id: str, count: int) -> list[dict[str, object]]:
    return [{"run_id": run_id, "task": task} for task in range(count)]


def test_columns_can_be_chosen(storage: Storage) -> None:
    compact(storage)
    results.write(storage, "tasks", "c", [{"run_id": "c", "task": 7}])
    frame = results.read(storage, "tasks", ["task"])
    assert list(frame) == ["task"]
    assert sorted(frame["task"]) == sorted([0, 1, 7, 0, 0, 0])


# ------------------------------------------------------------------ killed, and others at work


def _operations(storage: Storage, tmp_path: Path) -> int:
    counting = MortalStorage(shutil.copytree(storage.root, tmp_path / "counted"))
    compact(counting)
    return -1 - counting.left


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_operation(storage: Storage, tmp_path: Path, after: bool) -> None:
    operations = _operations(storage, tmp_path)
    assert operations > 20
    for at in range(1, operations + 1):
        root = shutil.copytree(storage.root, tmp_path / f"killed-{at}")
        with pytest.raises(Killed):
            compact(MortalStorage(root, at, after))
        left = Storage(root)
        assert is_whole(left)
        compact(left)
        assert is_whole(left)
        for table, rows in (("tasks", ALL_ROWS), ("runs", dict.fromkeys([*ROWS, FAILED], 1))):
            ended = small(left, table) - {UNFINISHED, FAILED}
            assert len(ended) <= 1  # a single small file is not compacted
            held = [run_id for file in large(left, table) for run_id in file.counts]
            empty = ended - rows.keys()  # a small file without rows is in no large one
            assert sorted([*held, *(small(left, table) - empty)]) == sorted(rows)
        shutil.rmtree(root)


def _in_charge() -> None:
    """Nobody has taken over."""


def test_a_sweep_gathers_the_runs_that_have_ended(storage: Storage) -> None:
    compaction.gather(storage, ["a", "b", "c", UNFINISHED, FAILED], _in_charge)
    assert small(storage) == {"d", UNFINISHED, FAILED}
    assert small(storage, "runs") == {"d", FAILED}
    assert is_whole(storage)
    compaction.gather(storage, ["a", "b", "d"], _in_charge)  # of which one is left
    assert small(storage) == {"d", UNFINISHED, FAILED}
    assert is_whole(storage)


class _MortalWriter(MortalStorage):
    """Only what changes files counts."""

    read = Storage.read


def test_a_gathering_may_be_killed_at_any_change(storage: Storage, tmp_path: Path) -> None:
    counting = _MortalWriter(shutil.copytree(storage.root, tmp_path / "counted"))
    compaction.gather(counting, ROWS, _in_charge)
    operations = -1 - counting.left
    assert operations == 2 * (1 + len(ROWS)), "two tables"
    for at in range(1, operations + 1):
        root = shutil.copytree(storage.root, tmp_path / f"killed-{at}")
        with pytest.raises(Killed):
            compaction.gather(_MortalWriter(root, at, after=True), ROWS, _in_charge)
        left = Storage(root)
        assert is_whole(left)
        compaction.drop_twice(left, _in_charge)
        assert is_whole(left)
        for table in ("tasks", "runs"):
            held = [run_id for file in large(left, table) for run_id in file.counts]
            assert len(set(held)) == len(held)
            assert small(left, table).isdisjoint(held), "plain pandas reads no row twice"
        shutil.rmtree(root)


@pytest.mark.parametrize("deleted", range(6))
def test_whoever_mends_may_meet_one_who_still_gathers(storage: Storage, deleted: int) -> None:
    """As a sweep on a machine that slept, whose place another has taken: it deletes on."""
    write_run(storage, "nan", 1)
    results.write(storage, "tasks", "nan", [{"run_id": "nan", "task": 0, "test_loss": math.nan}])
    doomed: list[str] = []

    class Slow(Storage):
        def delete_file(self, relative: str) -> None:
            doomed.append(relative)

    compaction.gather(Slow(storage.root), [*ROWS, "nan"], _in_charge)
    assert len(doomed) == 2 * (len(ROWS) + 1), "two tables"
    for path in doomed[:deleted]:
        storage.delete_file(path)
    compaction.drop_twice(storage, _in_charge)
    for path in doomed[deleted:]:
        storage.delete_file(path)
    assert rows_of(storage) == ALL_ROWS | {"nan": 1}
    assert results.finished_runs(storage) == {*ROWS, "nan", FAILED}


def test_of_copies_that_differ_the_small_one_stays(storage: Storage) -> None:
    compact(storage)
    results.write(storage, "tasks", "a", [])
    results.write(storage, "tasks", "c", _rows("c", 5))
    compaction.drop_twice(storage, _in_charge)
    assert rows_of(storage) == {"c": 5, "d": 1, UNFINISHED: 1, FAILED: 1}
    assert small(storage) == {"a", "c", UNFINISHED, FAILED}
    assert [dict(file.counts) for file in large(storage)] == [{"d": 1}]


def test_a_gathering_asks_between_deletions_whether_it_may_go_on(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "_UNCHECKED", 2)
    left = 2  # before the large file is written, and before its first deletions

    def check() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OptionError("another sweep has taken over")

    with pytest.raises(OptionError):
        compaction.gather(storage, ROWS, check)
    assert len(large(storage, "runs")) == 1
    assert small(storage, "runs") == {"c", "d", FAILED}
    assert is_whole(storage)


def test_a_gathering_that_lost_its_lease_stops(storage: Storage) -> None:
    def check() -> None:
        raise OptionError("another sweep has taken over")

    with pytest.raises(OptionError):
        compaction.gather(storage, ROWS, check)
    assert not large(storage, "runs")


def test_a_file_in_which_a_run_was_looked_up_is_not_read_again(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    compact(storage)
    assert results.read_run(storage, "runs", "bb") is None  # between those that are there
    reads: list[str] = []
    read = Storage.read
    monkeypatch.setattr(
        Storage, "read", lambda self, path: (reads.append(path), read(self, path))[1]
    )
    assert results.read_run(storage, "runs", "bb") is None
    assert reads == ["tables/runs/bb.parquet"]
    assert results.read_run(storage, "runs", "b") is not None
    assert len(reads) == 3


class BusyStorage(Storage):
    """Before each of its operations something else happens to the same files."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    def names(self, folder: str) -> list[str]:
        self.meanwhile()
        found = super().names(folder)
        self.meanwhile()
        return found

    def read(self, relative: str) -> bytes | None:
        self.meanwhile()
        return super().read(relative)


def _steps(storage: Storage) -> Iterator[None]:
    """A compaction that stops after each storage operation that changes something."""
    stop, go = threading.Semaphore(0), threading.Semaphore(0)

    class Halting(Storage):
        def write(self, relative: str, data: bytes) -> None:
            super().write(relative, data)
            stop.release()
            go.acquire()

        def delete_file(self, relative: str) -> None:
            super().delete_file(relative)
            stop.release()
            go.acquire()

    ended = threading.Event()

    def work() -> None:
        compact(Halting(storage.root))
        ended.set()
        stop.release()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while True:
        stop.acquire()
        if ended.is_set():
            break
        yield
        go.release()
    thread.join()


@pytest.mark.parametrize("first", range(12))
def test_a_reader_sees_all_while_a_compaction_advances(
    storage: Storage, tmp_path: Path, first: int
) -> None:
    """The compaction does its next step between any two operations of the reader, from its
    n-th operation on."""
    steps = _steps(storage)
    reader = BusyStorage(storage.root)
    waited = 0

    def meanwhile() -> None:
        nonlocal waited
        waited += 1
        if waited > first:
            next(steps, None)

    reader.meanwhile = meanwhile
    for _ in range(4):
        assert rows_of(reader) == ALL_ROWS
        assert results.finished_runs(reader) == {*ROWS, FAILED}
        assert len(results.read_run(reader, "tasks", "c") or []) == 3
        waited = 0
    for _ in steps:
        pass
    assert is_whole(storage)


def test_while_a_sweep_runs_nothing_is_compacted(
    storage: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    contents = {path: path.read_bytes() for path in Path(storage.root).rglob("*.parquet")}
    with Lease(storage):
        with pytest.raises(OptionError, match="must not be in use; another sweep"):
            results.compact(storage)
        assert main(["compact", storage.root]) == 2
        said, told = capsys.readouterr()
        assert told.startswith(f"error: STORAGE={storage.root}: must not be in")
        assert said == ""
    assert {p: p.read_bytes() for p in Path(storage.root).rglob("*.parquet")} == contents


def test_a_compaction_that_lost_its_lease_stops(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its machine slept, and a sweep took over."""
    whole = compaction._batches

    def batches(small: Any) -> Iterator[Any]:
        for batch in whole(small):
            (holder,) = holders(storage)
            storage.delete_file(holder.path)
            yield batch

    monkeypatch.setattr(compaction, "_batches", batches)
    with pytest.raises(OptionError, match="another sweep has taken over"):
        compact(storage)
    assert not large(storage, "runs")
    assert is_whole(storage)


# ------------------------------------------------------------------ writing again, forgetting


def test_what_a_run_writes_after_it_was_gathered_comes_first(storage: Storage) -> None:
    compact(storage)
    write_run(storage, "c", 5)
    assert rows_of(storage) == ALL_ROWS | {"c": 5}
    assert len(results.read_run(storage, "tasks", "c") or []) == 5
    compact(storage)
    assert rows_of(storage) == ALL_ROWS | {"c": 5}


@pytest.mark.parametrize("compacted", [False, True])
def test_a_forgotten_run_has_no_rows_in_any_table(storage: Storage, compacted: bool) -> None:
    for table in SCHEMAS:
        if table not in ("runs", "tasks"):
            for run_id in ("a", "c"):
                results.write(storage, table, run_id, [{"run_id": run_id}])
    if compacted:
        compact(storage)
    results.forget_runs(storage, {"c", FAILED})
    for table in SCHEMAS:
        left = set(results.read(storage, table)["run_id"])
        assert "a" in left
        assert not left & {"c", FAILED}
        assert results.read_run(storage, table, "c") is None
    assert pd.read_parquet(Path(storage.root) / "tables" / "tickets")["run_id"].tolist() == ["a"]


def test_killed_while_forgetting_leaves_no_ended_run_without_rows(
    storage: Storage, tmp_path: Path
) -> None:
    compact(storage)
    for at in range(1, 40):
        root = shutil.copytree(storage.root, tmp_path / f"killed-{at}")
        try:
            results.forget_runs(MortalStorage(root, at), {"c"})
        except Killed:
            left = Storage(root)
            kept = rows_of(left) if "c" in results.finished_runs(left) else ALL_ROWS
            assert kept == ALL_ROWS
            compact(left)
            results.forget_runs(left, {"c"})
            others = {run_id: rows for run_id, rows in ALL_ROWS.items() if run_id != "c"}
            assert rows_of(left) == others
            assert len(pd.read_parquet(root / "tables" / "tasks")) == sum(others.values())
        else:
            break
    assert at > 10


# ------------------------------------------------------------------ the command


def test_the_command_says_what_it_did(storage: Storage, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compact", storage.root]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["table", "files", "before", "after"]
    assert ["runs", "5", "2"] in lines
    assert ["tasks", "6", "3"] in lines
    assert lines[-1] == ["Done."]
    assert main(["compact", storage.root]) == 0
    assert capsys.readouterr().out.endswith("There was nothing to do.\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compact", "{missing}"], "STORAGE={missing}: must be the folder or URI of a raylot stor"),
        (["compact", "nowhere://x"], "STORAGE=nowhere://x: must be a folder that can be written"),
        (["compact"], "the following arguments are required: STORAGE"),
        (["compact", ".", "--fast"], "unrecognized arguments: --fast"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "missing")
    assert main([argument.format(missing=missing) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: {message.format(missing=missing)}")
    assert captured.err.count("\n") == 1
    assert not Path(missing).exists()


def test_a_damaged_file_is_named_and_left_where_it_is(
    storage: Storage, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    storage.write("tables/tasks/a.parquet", b"PAR1 and then nothing")
    assert main(["compact", storage.root]) == 0
    (line,) = {record.getMessage() for record in caplog.records}
    assert line.startswith("tables/tasks/a.parquet: damaged (")
    assert storage.read("tables/tasks/a.parquet") == b"PAR1 and then nothing"
    assert capsys.readouterr().err == ""
