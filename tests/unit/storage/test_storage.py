"""A file is its old or its new self whoever is killed, and mistakes are one line.

Runs on the local file system; an object store is in ``test_object_store.py``.
"""

from __future__ import annotations

import collections
import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import fs

from raylot import results
from raylot.foundation.errors import OptionError
from raylot.storage import OutOfReachError, Storage

OLD, NEW = b"old" * 300_000, b"newer" * 300_000

#: Writes a table's file once, and kills itself when its bytes are written but not yet in place.
KILLED_WRITER = """
import os, signal, sys
from raylot import results
from raylot.storage import OutOfReachError, Storage
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
results.write(Storage(sys.argv[1]), "snapshots", "abc", [{"run_id": "abc", "task": 20}])
"""


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "root")


def refusal(make: Callable[[], object]) -> str:
    """The message with which something is refused, which must be one line."""
    with pytest.raises(OptionError) as caught:
        make()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


# ------------------------------------------------------------------ whole files


@settings(max_examples=20)
@given(data=st.binary(max_size=1000))
def test_what_is_written_is_read(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    storage = Storage(tmp_path_factory.getbasetemp() / "round-trip")
    storage.write("a/b/c.bin", b"something longer" * 100)
    storage.write("a/b/c.bin", data)
    assert storage.read("a/b/c.bin") == data


def test_opening_creates_nothing(storage: Storage, tmp_path: Path) -> None:
    assert storage.read("folder/file") is None
    assert storage.names("folder") == []
    assert not storage.exists("folder/file")
    assert list(tmp_path.iterdir()) == []


def test_names_exists_delete(storage: Storage, tmp_path: Path) -> None:
    for name in ("b", "a", "c.parquet"):
        storage.write(f"folder/{name}", b"x")
    (tmp_path / "root" / "folder" / ".hidden").write_bytes(b"x")
    assert storage.names("folder") == ["a", "b", "c.parquet"]
    assert storage.exists("folder")
    assert storage.exists("folder/a")

    storage.delete_file("folder/a")
    storage.delete_file("folder/a")  # what is gone stays gone
    assert storage.names("folder") == ["b", "c.parquet"]
    assert not storage.exists("folder/a")
    assert storage.read("folder/a") is None

    storage.delete_folder("folder")
    storage.delete_folder("folder")
    assert storage.names("folder") == []
    assert not storage.exists("folder")


def test_a_write_that_fails_leaves_the_old_contents(storage: Storage, tmp_path: Path) -> None:
    storage.write("folder/file", OLD)
    with pytest.raises(TypeError):
        storage.write("folder/file", "no bytes")  # type: ignore[arg-type]
    assert storage.read("folder/file") == OLD
    assert [path.name for path in (tmp_path / "root" / "folder").iterdir()] == ["file"]


@pytest.mark.parametrize("as_uri", [False, True])
def test_paths_and_uris_name_the_same_files(as_uri: bool, tmp_path: Path) -> None:
    storage = Storage(f"file://{tmp_path}" if as_uri else str(tmp_path))
    storage.write("folder/file", b"x")
    assert storage.is_local
    assert (tmp_path / "folder" / "file").read_bytes() == b"x"
    assert storage.path("folder/file") == str(tmp_path / "folder" / "file")


_OUTSIDE = ("..", "/", "/etc/passwd", "../root/a", "a/../../b", "a/..")


@pytest.mark.parametrize("path", ["", ".", "./a", "a//b", "a/", "a/.", *_OUTSIDE])
@pytest.mark.parametrize(
    "operation", ["read", "exists", "names", "delete_file", "delete_folder", "set_aside", "path"]
)
def test_nothing_outside_of_the_root_is_reached(
    path: str, operation: str, storage: Storage, tmp_path: Path
) -> None:
    storage.write("a/b", b"inside")
    (tmp_path / "b").write_bytes(b"outside")
    with pytest.raises(ValueError, match="must lie inside the storage"):
        getattr(storage, operation)(path)
    with pytest.raises(ValueError, match="must lie inside the storage"):
        storage.write(path, b"x")
    assert (tmp_path / "b").read_bytes() == b"outside"
    assert storage.read("a/b") == b"inside"


@pytest.mark.parametrize("folder", ["state", "damaged"])
def test_no_link_leads_what_is_written_or_deleted_out_of_the_root(
    folder: str, storage: Storage, tmp_path: Path
) -> None:
    """Somebody else may have packed the storage, with links to this user's files."""
    (tmp_path / "home" / "mine").mkdir(parents=True)
    (tmp_path / "home" / "mine" / "kept").write_bytes(b"outside")
    storage.write("state/run/file", b"inside")
    (tmp_path / "root" / folder / "link").parent.mkdir(exist_ok=True)
    (tmp_path / "root" / folder / "link").symlink_to(tmp_path / "home")
    for change in (storage.delete_file, storage.set_aside, lambda path: storage.write(path, b"")):
        message = refusal(lambda change=change: change(f"{folder}/link/mine/kept"))  # type: ignore[misc]
        assert f"storage={storage.root}: must hold no links to other folders" in message
    refusal(lambda: storage.delete_folder(f"{folder}/link/mine"))
    assert storage.read(f"{folder}/link/mine/kept") == b"outside"
    storage.delete_folder(f"{folder}/link")  # the link itself is the storage's own
    assert (tmp_path / "home" / "mine" / "kept").read_bytes() == b"outside"
    assert not (tmp_path / "root" / folder / "link").is_symlink()


@pytest.mark.parametrize("folder", ["artifacts", "settings", "choosing", "tune"])
def test_a_link_is_refused_before_anything_trains(
    folder: str, storage: Storage, tmp_path: Path
) -> None:
    storage.write("file", b"")
    (tmp_path / "home").mkdir()
    old = tmp_path / "home" / f".file.{'a' * 32}.tmp"
    old.write_bytes(b"")
    os.utime(old, (0, 0))
    (tmp_path / "root" / folder).symlink_to(tmp_path / "home")
    assert "must hold no links to other folders" in refusal(storage.check_writable)
    storage.remove_leftovers()
    assert old.exists()


def test_the_root_itself_may_be_a_link(storage: Storage, tmp_path: Path) -> None:
    storage.write("a/b", OLD)
    (tmp_path / "link").symlink_to(tmp_path / "root")
    for linked in (Storage(tmp_path / "link"), Storage(f"file://{tmp_path}/link")):
        linked.write("a/b", NEW)
        assert storage.read("a/b") == NEW


def test_a_folder_is_no_file(storage: Storage) -> None:
    storage.write("a/b", b"")
    assert Storage(storage.root, patience=60).read("a") is None


# ------------------------------------------------------------------ atomic replacement


def test_a_reader_sees_old_or_new_contents_only(storage: Storage) -> None:
    kinds = {OLD: "old", NEW: "new"}
    storage.write("folder/file", OLD)
    seen: collections.Counter[str] = collections.Counter()
    names: set[str] = set()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            data = storage.read("folder/file")
            seen[f"nothing: {data!r}" if not data else kinds.get(data, "torn")] += 1
            names.update(storage.names("folder"))

    reader = threading.Thread(target=read)
    reader.start()
    replaced = 0
    while (replaced < 30 or min(seen["old"], seen["new"]) < 10) and replaced < 5000:
        storage.write("folder/file", NEW if replaced % 2 == 0 else OLD)
        replaced += 1
    stop.set()
    reader.join()
    assert set(seen) == {"old", "new"}
    assert names == {"file"}


@pytest.mark.parametrize("written_before", [False, True])
def test_what_a_killed_writer_leaves_is_read_by_nobody(
    written_before: bool, storage: Storage
) -> None:
    if written_before:
        results.write(storage, "snapshots", "abc", [{"run_id": "abc", "task": 10}])
    else:
        results.write(storage, "snapshots", "def", [{"run_id": "def", "task": 10}])
    killed = subprocess.run([sys.executable, "-c", KILLED_WRITER, storage.root], check=False)
    assert killed.returncode == -signal.SIGKILL

    folder = Path(storage.path("tables/snapshots"))
    (finished,) = storage.names("tables/snapshots")
    (leftover,) = (path for path in folder.iterdir() if path.name != finished)
    assert leftover.stat().st_size > 0
    assert results.read(storage, "snapshots")["task"].tolist() == [10]
    assert pd.read_parquet(folder)["task"].tolist() == [10]

    storage.write(f"tables/snapshots/{finished}", b"new")  # the leftover is in nobody's way
    assert storage.read(f"tables/snapshots/{finished}") == b"new"


# ------------------------------------------------------------------ where it can be


def test_a_writable_folder_is_left_empty(storage: Storage, tmp_path: Path) -> None:
    storage.check_writable()
    assert list((tmp_path / "root").iterdir()) == []


def test_the_probe_of_a_command_that_was_killed_is_deleted_by_the_next(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(Storage, "delete_file", lambda self, path: None)
        storage.check_writable()
    assert len(list((tmp_path / "root").iterdir())) == 1
    storage.check_writable()
    half = tmp_path / "root" / f"..writable.{'0' * 32}.tmp"  # killed while it wrote
    half.write_bytes(b"")
    os.utime(half, (0, 0))
    storage.remove_leftovers()
    assert list((tmp_path / "root").iterdir()) == []


@pytest.mark.parametrize("below", ["", "/sub", "/sub/sub"])
def test_what_cannot_be_written_is_told_in_one_line(below: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no folder")
    root = f"{file}{below}"
    message = refusal(lambda: Storage(root).check_writable())
    assert message.startswith(f"storage={root}: must be a folder that can be written, or a URI (")
    assert file.read_text() == "no folder"


def test_nothing_is_found_below_a_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no folder")
    storage = Storage(file / "sub")
    assert storage.names("folder") == Storage(tmp_path).names("file") == []
    assert not storage.exists("folder/file")
    assert storage.read("folder/file") is None


@pytest.mark.parametrize(
    "root", ["nowhere://bucket/folder", "http://host/folder", "S3://bucket", "://"]
)
def test_unknown_uris_are_told_in_one_line(root: str) -> None:
    message = refusal(lambda: Storage(root))
    assert message.startswith(f"storage={root}: must be a folder that can be written, or a URI (")


@pytest.mark.parametrize(
    "root", ["~no-such-user/folder", "a\0b", "s3://a\nb", "hdfs://host/folder"]
)
def test_impossible_folders_are_told_in_one_line(root: str) -> None:
    assert refusal(lambda: Storage(root).check_writable()).startswith("storage=")


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    storage = Storage("~/results")
    assert storage.root == str(tmp_path / "results")
    storage.write("file", b"x")
    assert (tmp_path / "results" / "file").read_bytes() == b"x"


def test_a_relative_folder_stays_where_it_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    storage = Storage("results")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # as Ray does to its workers
    storage.write("file", b"x")
    assert (tmp_path / "results" / "file").read_bytes() == b"x"


@pytest.mark.parametrize(
    "uri",
    [
        "s3://key:hidden@bucket/folder", "s3://key:hid/den@bucket", "gs://hidden@bucket",
        "s3://bucket?secret_key=hidden&region=eu-west-1", "abfs://bucket/x?access_token=hidden",
        "abfs://container/x?sig=hidden", "s3://bucket/x?passwd=hidden",
        "s3://bucket/x?key=hidden", "s3://bucket/x?region=y&my_key_file=hidden",
    ],
)  # fmt: skip
def test_credentials_in_a_uri_are_refused_and_not_shown(uri: str) -> None:
    message = refusal(lambda: Storage(uri))
    assert "must hold no credentials; set AWS_ACCESS_KEY_ID" in message
    assert "hid" not in message.replace("***", "")


def test_what_is_set_aside_is_kept_elsewhere(storage: Storage) -> None:
    storage.write("tables/a", OLD)
    storage.set_aside("tables/a")
    storage.set_aside("tables/a")  # what is gone stays gone
    assert storage.read("tables/a") is None
    assert storage.read("damaged/tables/a") == OLD


# ------------------------------------------------------------------ patience


def test_a_full_disk_is_tried_again_for_as_long_as_there_is_patience(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    left = [3]

    def full(descriptor: int) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    monkeypatch.setattr("raylot.storage.storage._FIRST_PAUSE", 0.01)
    patient = Storage(storage.root, patience=60)
    patient.write("folder/file", NEW)
    assert patient.read("folder/file") == NEW
    assert [path.name for path in Path(storage.path("folder")).iterdir()] == ["file"]
    assert f"storage={storage.root}: No space left on device; trying again for up to" in caplog.text
    left[0] = 1
    with pytest.raises(OSError, match="No space left"):
        storage.write("folder/file", OLD)
    assert storage.read("folder/file") == NEW


def test_listing_is_tried_again_too(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raylot.storage.storage._FIRST_PAUSE", 0.01)
    storage.write("folder/sub/file", NEW)
    patient = Storage(storage.root, patience=60)
    answers = iter([OSError("busy"), patient.filesystem.get_file_info])

    class Busy:
        def get_file_info(self, selector: fs.FileSelector) -> object:
            if isinstance(answer := next(answers), OSError):
                raise answer
            return answer(selector)

    monkeypatch.setattr(patient, "filesystem", Busy())
    assert list(patient.versions("folder")) == ["folder/sub/file"]
    assert next(answers, None) is None


def test_versions_tell_of_finished_files_at_any_depth(storage: Storage) -> None:
    for path, data in {"a/one": b"1", "a/b/two": b"22", "a/.hidden": b"", "other": b""}.items():
        storage.write(path, data)
    changed = [Path(storage.path(name)).stat().st_mtime_ns for name in ("a/b/two", "a/one")]
    assert storage.versions("a") == {"a/b/two": [2, changed[0]], "a/one": [1, changed[1]]}
    assert storage.versions("nothing") == storage.versions("other") == {}


def test_what_is_said_meanwhile_cannot_steer_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("raylot.storage.storage._FIRST_PAUSE", 0.01)
    storage = Storage(tmp_path / "odd\x1b]0;owned\x07", patience=0.05)
    with pytest.raises(OutOfReachError):
        storage._patiently(_no_route)
    assert r"odd\x1b]0;owned\x07: \x1b[31mno route to http://***@host; trying again" in caplog.text


def _no_route() -> None:
    raise OSError("\x1b[31mno route to http://me:word@host")


def test_what_waiting_cannot_mend_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    patient = Storage(tmp_path, patience=600)
    with pytest.raises(OSError, match=r"exists|Not a directory"):
        patient.write("file/sub/sub", b"x")
    assert patient.read("file/sub") is None


def test_a_name_that_python_reads_as_ascii_only_is_one_line() -> None:
    """As with LC_ALL=C and PYTHONUTF8=0, where bytes beyond ASCII become surrogates."""
    with pytest.raises(OptionError, match=r"storage=/tmp/\\udcc3\\udcbc: .*set PYTHONUTF8=1"):
        Storage("/tmp/\udcc3\udcbc")


def test_a_long_error_of_the_storage_keeps_its_beginning(tmp_path: Path) -> None:
    error = OSError(f"reading key 'a' in bucket 'mine': {'x' * 500}")
    assert "(reading key 'a' in bucket 'mine': xxx" in str(Storage(tmp_path).unusable(error))
