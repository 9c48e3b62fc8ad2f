"""A storage on a real S3 server: written, read, compacted, checked; and while it refuses."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from raylot import results
from raylot.command.main import main
from raylot.foundation.errors import OptionError
from raylot.storage import Storage
from raylot.storage.checksum import DamagedFileError
from raylot.trials.tickets import TicketsTrial
from tests.faults.clusters import ObjectStore
from tests.support.tables import assert_same_tables
from tests.unit.trials.runs import run_all, trial_config

ROOT = "s3://bucket/study"


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectStore]:
    with ObjectStore() as started:
        yield started


@pytest.fixture
def store(server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """The server, with an empty bucket, and the environment that leads there."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    server.filesystem.delete_dir_contents("bucket")
    return server


@pytest.mark.usefixtures("store")
def test_files_are_written_read_listed_and_deleted() -> None:
    storage = Storage(ROOT)
    storage.check_writable()
    assert storage.names("tables") == []
    assert storage.read("tables/a") is None
    for content in (b"old", b"new" * 3_000_000, b""):  # in one part, in several, in none
        storage.write("tables/a", content)
        assert storage.read("tables/a") == content
    storage.write("tables/sub/b", b"b")
    assert storage.names("tables") == ["a", "sub"]
    assert storage.exists("tables/sub")
    storage.delete_file("tables/a")
    storage.delete_folder("tables/sub")
    storage.delete_folder("tables/sub")
    assert not storage.exists("tables/sub/b")


def test_results_equal_those_on_a_disk(store: ObjectStore, tmp_path: Path) -> None:
    run_all(tmp_path / "disk", "ticket")
    run_all(ROOT, "ticket")
    assert_same_tables(tmp_path / "disk", store.download("bucket/study", tmp_path / "found"))
    results.compact(ROOT)
    assert_same_tables(tmp_path / "disk", ROOT)
    assert main(["check", ROOT]) == 0
    storage = Storage(ROOT)
    (run_id,) = storage.names("artifacts")[:1]
    path = f"artifacts/{run_id}/{storage.names(f'artifacts/{run_id}')[0]}"
    storage.write(path, (storage.read(path) or b"")[:-1])
    assert main(["check", ROOT]) == 1


def test_a_store_that_refuses_is_waited_for(store: ObjectStore) -> None:
    storage = Storage(ROOT, patience=60)
    with store.refusing():
        with pytest.raises(OSError, match="AWS Error"):
            Storage(ROOT).write("tables/a", b"impatient")
        with pytest.raises(OptionError, match=f"storage={ROOT}: must be a folder that can be"):
            storage.check_writable()
        began = time.monotonic()
        with ThreadPoolExecutor(1) as thread:
            writing = thread.submit(storage.write, "tables/a", b"patient")
            time.sleep(3)
            assert not writing.done()
            store.answer()
            writing.result(timeout=60)
    assert storage.read("tables/a") == b"patient"
    assert time.monotonic() - began >= 3


def test_an_interrupted_write_leaves_the_old_or_the_new_object(store: ObjectStore) -> None:
    """Whenever the signal comes: nothing half written is ever put in place."""
    storage = Storage(ROOT)
    old, new = b"old" * 100_000, b"newer" * 100_000
    interrupted = 0

    def whole(found: bytes) -> bytes:
        if found not in (old, new):
            raise DamagedFileError("tables/a", f"{len(found)} bytes")
        return found

    for attempt in range(40):
        storage.write("tables/a", old)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.0005 + attempt * 0.001)
            storage.write("tables/a", new)
            time.sleep(0.06)
        except KeyboardInterrupt:
            interrupted += 1
        # An upload may go on after the interrupt, and replace the object while this reads it.
        assert storage.read_whole("tables/a", whole)
    assert interrupted > 0


@pytest.fixture(autouse=True)
def _alarms_interrupt() -> Iterator[None]:
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_run_goes_on_when_the_store_answers_again(store: ObjectStore) -> None:
    config = {**trial_config(Path("unused"), task=2), "storage": ROOT}
    run_all(ROOT)
    results.forget_runs(Storage(ROOT), {TicketsTrial(config).run.run_id})
    trial = TicketsTrial(config)
    trial.step()
    with store.refusing(), pytest.raises(OSError, match="AWS Error"):
        trial.step()
    while not TicketsTrial(config).step()["done"]:
        pass
    assert results.read(ROOT, "runs")["status"].tolist() == ["finished"] * (1 + 1 + 3 + 1)


@pytest.mark.parametrize(
    ("root", "reason"),
    [("s3://no-such-bucket/study", "NO_SUCH_BUCKET"), ("s3://bucket name", "names no bucket")],
)
@pytest.mark.usefixtures("store")
def test_a_wrong_bucket_is_told_at_once(root: str, reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        Storage(root, patience=600).check_writable()


@pytest.mark.usefixtures("store")
def test_wrong_credentials_are_no_secret_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(OptionError) as refused:
        Storage(ROOT).check_writable()
    assert "the-secret-key" not in str(refused.value)
