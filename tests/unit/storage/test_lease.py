"""One sweep at a time: who is alive is not disturbed, who is gone is followed at once."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from raylot.foundation.errors import OptionError
from raylot.storage import Storage
from raylot.storage import lease as leases
from raylot.storage.lease import FOLDER, Lease, holders


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEAT", 0.05)
    monkeypatch.setattr(leases, "SILENCE", 2.5)


def _other(storage: Storage, name: str = "other", **changes: object) -> str:
    """The file of a sweep on another machine."""
    path = f"{FOLDER}/{name}.json"
    told = {
        "host": "far-away", "place": "another machine", "pid": 7, "born": "1",
        "started": "2026-01-02T03:04:05.6+00:00", "count": 3, "is_running": True,
    }  # fmt: skip
    storage.write(path, json.dumps({**told, **changes}).encode())
    return path


def test_who_is_in_charge_says_so_and_leaves_no_trace(storage: Storage) -> None:
    with Lease(storage) as lease:
        (holder,) = holders(storage)
        assert (holder.path, holder.pid, holder.is_running) == (lease.path, os.getpid(), True)
        assert holder.is_alive
    assert holders(storage) == []


def test_the_second_is_refused_in_one_line(storage: Storage) -> None:
    with Lease(storage):
        with pytest.raises(OptionError) as refused, Lease(storage):
            pytest.fail("two are in charge")
        assert len(holders(storage)) == 1
    assert str(refused.value).startswith(
        f"storage={storage.root}: must not be in use; another sweep (process {os.getpid()} on "
    )


def test_a_process_that_has_ended_is_followed_at_once(storage: Storage) -> None:
    with Lease(storage):
        (own,) = holders(storage)
    _other(storage, place=own.place, pid=own.pid, born="1")  # the same pid, another process
    said: list[str] = []
    began = time.monotonic()
    with Lease(storage, said.append) as lease:
        assert [holder.path for holder in holders(storage)] == [lease.path]
    assert time.monotonic() - began < 5
    whose = f"another sweep (process {own.pid} on far-away, since 2026-01-02T03:04:05 UTC)"
    assert said == [f"{whose} has ended; going on where it stopped"]


@pytest.mark.usefixtures("quick")
def test_several_silent_ones_are_watched_together(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock of its own: all are given up after the time that one is watched for."""
    paths = [_other(storage, f"other{number}") for number in range(4)]
    now = [0.0]
    monkeypatch.setattr("raylot.storage.lease.time.monotonic", lambda: now[0])
    monkeypatch.setattr("raylot.storage.lease.time.sleep", lambda s: now.__setitem__(0, now[0] + s))
    said: list[str] = []
    with Lease(storage, said.append):
        assert not any(storage.exists(path) for path in paths)
    assert now[0] == 3.0  # the first whole second after 2.5
    assert len([line for line in said if "may be running: watching for" in line]) == 4
    assert len([line for line in said if "has ended; going on where it stopped" in line]) == 4


@pytest.mark.usefixtures("quick")
def test_of_several_that_are_watched_one_sign_of_life_is_enough(storage: Storage) -> None:
    first = _other(storage, "first")
    told = threading.Timer(0.5, lambda: _other(storage, "second", count=4))
    second = _other(storage, "second")
    told.start()
    with pytest.raises(OptionError, match="process 7 on far-away"), Lease(storage):
        pytest.fail("two are in charge")
    told.join()
    assert [holder.path for holder in holders(storage)] == [first, second]


@pytest.mark.parametrize(
    "content",
    [
        b"", b"null", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"pid": "7"}',
        b'{"host": 1, "place": [], "pid": {}, "born": "", "started": 5, "count": "x",'
        b' "is_running": 1}',
    ],
)  # fmt: skip
def test_what_is_no_owners_file_is_somebody_who_cannot_be_known(
    storage: Storage, content: bytes
) -> None:
    storage.write(f"{FOLDER}/other.json", content)
    (holder,) = holders(storage)
    assert str(holder) == "another sweep (its file drivers/other.json cannot be read)"
    assert holder.is_alive is None


def test_what_killed_writers_left_is_deleted(storage: Storage) -> None:
    """Not what somebody may still be writing, nor a file of the user's own."""
    root, unique = Path(storage.root), "0123456789abcdef" * 2
    old = [
        f"tables/tasks/.abc.parquet.{unique}.tmp", f"state/abc/.state.safetensors.{unique}.tmp",
        f"tables/tasks/compacted/.a.parquet.{unique}.tmp", f"drivers/.a.json.{unique}.tmp",
    ]  # fmt: skip
    kept = ["tables/tasks/.notes.tmp", "tables/tasks/abc.parquet", f"tune/.x.{unique}.tmp"]
    fresh = f"tables/tasks/.def.parquet.{unique}.tmp"
    for path in (*old, *kept, fresh):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"half")
        if path != fresh:
            os.utime(root / path, (time.time() - 3600, time.time() - 3600))
    with Lease(storage):
        left = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}
    assert left - {lease for lease in left if lease.endswith(".json")} == {*kept, fresh}


@pytest.mark.usefixtures("quick")
def test_signs_of_life_are_given(storage: Storage) -> None:
    with Lease(storage):
        counts = set()
        while len(counts) < 3:
            counts |= {holder.count for holder in holders(storage)}
            time.sleep(0.01)


@pytest.mark.usefixtures("quick")
def test_who_was_taken_over_notices(storage: Storage) -> None:
    """It stood still for so long that another one took its place."""
    lost = threading.Event()
    with Lease(storage, on_loss=lost.set) as lease:
        storage.delete_file(lease.path)
        assert lost.wait(10)
        assert not storage.exists(lease.path)


@pytest.mark.usefixtures("quick")
def test_a_late_sign_of_life_of_one_that_was_deposed_changes_nothing(storage: Storage) -> None:
    path = _other(storage)
    lost = threading.Event()
    with Lease(storage, on_loss=lost.set) as lease:
        _other(storage, count=4)
        while storage.exists(path):
            time.sleep(0.01)
        assert not lost.wait(1)
        assert [holder.path for holder in holders(storage)] == [lease.path]


@pytest.mark.usefixtures("quick")
def test_a_file_that_cannot_be_read_is_somebody_until_it_is_silent(storage: Storage) -> None:
    path = f"{FOLDER}/other.json"
    storage.write(path, b'{"host": "a", "pla')
    said: list[str] = []
    with Lease(storage, said.append):
        assert len(holders(storage)) == 1
    assert said[0].startswith(f"another sweep (its file {path} cannot be read) may be running")


@pytest.mark.usefixtures("quick")
def test_a_file_that_cannot_be_read_ends_nobody(storage: Storage) -> None:
    lost = threading.Event()
    with Lease(storage, on_loss=lost.set):
        storage.write(f"{FOLDER}/other.json", b'{"host": "a", "pla')
        assert not lost.wait(1)


@pytest.mark.usefixtures("quick")
def test_who_was_taken_over_notices_though_the_storage_refuses(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Storage, relative: str) -> None:
        raise OSError("refused")

    lost = threading.Event()
    with Lease(storage, on_loss=lost.set), monkeypatch.context() as patched:
        patched.setattr(Storage, "delete_file", refuse)
        _other(storage)
        assert lost.wait(10)


@pytest.mark.usefixtures("quick")
def test_who_steps_back_meanwhile_may_come_again(storage: Storage) -> None:
    """It is not taken for one that has ended, whose late signs of life are removed."""
    path = _other(storage, is_running=False)
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        storage.delete_file(path)

    with Lease(storage, say):
        _other(storage, is_running=False)
        time.sleep(0.5)
        assert storage.exists(path)
    assert [line for line in said if "has ended" in line] == []


def test_what_a_newer_raylot_says_of_itself_is_read(storage: Storage) -> None:
    _other(storage, mood="cheerful")
    (holder,) = holders(storage)
    assert (holder.host, holder.pid) == ("far-away", 7)


def test_what_this_process_could_not_delete_does_not_lock_it_out(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Storage, relative: str) -> None:
        raise OSError("refused")

    lease = Lease(storage)
    with monkeypatch.context() as patched:
        with lease:
            patched.setattr(Storage, "delete_file", refuse)
        (left,) = holders(storage)
        assert left.is_alive is False
    with Lease(storage) as lease:
        assert [holder.path for holder in holders(storage)] == [lease.path]


@pytest.mark.usefixtures("quick")
def test_who_watches_a_dead_one_gives_signs_of_life_itself(storage: Storage) -> None:
    """Two that start after a crash on a third machine: one is in charge, for good."""
    _other(storage)
    lost, entered = threading.Event(), threading.Event()
    outcomes: list[str] = []

    def start() -> None:
        try:
            with Lease(storage, on_loss=lost.set):
                outcomes.append("in charge")
                entered.wait(15)
                time.sleep(1)
        except OptionError:
            outcomes.append("refused")
            entered.set()

    threads = [threading.Thread(target=start) for _ in range(2)]
    threads[0].start()
    time.sleep(0.5)
    threads[1].start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["in charge", "refused"]
    assert not lost.is_set()


def test_of_many_at_once_one_is_in_charge(storage: Storage) -> None:
    in_charge, most = [0], [0]
    lock, finished = threading.Lock(), threading.Barrier(6)

    def start() -> None:
        finished.wait()
        try:
            with Lease(storage):
                with lock:
                    in_charge[0] += 1
                    most[0] = max(most[0], in_charge[0])
                time.sleep(1)
                with lock:
                    in_charge[0] -= 1
        except OptionError:
            pass

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1
    assert holders(storage) == []
