"""A real cluster of several nodes with results on a real S3 server: nodes go and come, the store
refuses for a while, Ray's own processes are killed, the disk is full.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from raylot import results
from raylot.results.integrity import inspect
from raylot.storage import Storage
from tests.faults.clusters import ObjectStore, RayCluster
from tests.faults.processes import RUNS, Driver, kill
from tests.support import needs
from tests.support.tables import assert_same_tables

_LOCAL = ("--address", "local")


def test_a_cluster_that_changes_and_an_object_store_that_refuses_lose_nothing(
    tmp_path: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = "s3://bucket/study"
    with ObjectStore() as store, RayCluster(2, store.environment) as cluster:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        storage = Storage(root)
        with Driver(root, "--address", cluster.address, environment=cluster.environment) as driver:
            driver.wait_until(lambda: bool(storage.names("state")))
            cluster.remove_node()
            driver.wait_until(lambda: len(results.finished_runs(storage)) >= 1)
            with store.refusing():
                time.sleep(4)
            cluster.add_node()
            driver.finishes()
        assert store.refused > 0
        found = store.download("bucket/study", tmp_path / "found")
    assert_same_tables(undisturbed, found)
    assert not inspect(Storage(found), artifacts=True).damages
    for file in found.rglob("*"):
        if file.is_file():
            assert b"the-secret-key" not in file.read_bytes(), file
            assert b"the-key-id" not in file.read_bytes(), file
    assert list(found.glob("tune/*/*/events.out.tfevents.*")), "TensorBoard finds its curves"


@pytest.mark.parametrize(
    ("process", "words"),
    [
        ("raylet", "Ray's process on this machine (the raylet) has ended. Nothing that was saved"),
        pytest.param(  # the raylet may end first; without Ray in test_interrupt_guard.py
            "gcs_server", "Nothing that was saved", marks=pytest.mark.slow
        ),
    ],
)
def test_a_driver_that_loses_ray_ends_within_a_minute_and_says_how_to_go_on(
    tmp_path: Path, process: str, words: str
) -> None:
    with RayCluster(1) as cluster:
        with Driver(
            tmp_path, "--address", cluster.address, environment=cluster.environment
        ) as driver:
            driver.wait_until(lambda: bool(list((tmp_path / "state").glob("*/*.safetensors"))))
            assert cluster.head
            (pid,) = cluster.head.members(f"{process} ")
            kill(pid)
            lost = time.monotonic()
            status, _, told = driver.ends(within=60)
            assert time.monotonic() - lost < 60
        assert status == 1
        assert words in told
        assert "The same command continues them." in told
    assert len(results.finished_runs(Storage(tmp_path))) < RUNS
    assert not inspect(Storage(tmp_path), artifacts=True).damages


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 6 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        needs.skip_without("the right to mount a small file system (run the tests as root)")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill(filler: Path) -> None:
    """Writes until the disk is full."""
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)


@pytest.mark.slow  # faster: an object store that refuses in test_store_away.py
def test_a_disk_that_is_full_for_a_while_is_waited_for(small_disk: Path, undisturbed: Path) -> None:
    storage = small_disk / "study"
    with Driver(storage, *_LOCAL) as driver:
        driver.wait_until(lambda: bool(list((storage / "state").glob("*/*.safetensors"))))
        filler = small_disk / "filler"
        _fill(filler)
        ended = len(results.finished_runs(Storage(storage)))
        time.sleep(8)
        assert len(results.finished_runs(Storage(storage))) <= ended + 1
        assert driver.process.poll() is None
        filler.unlink()
        driver.finishes()
    assert_same_tables(undisturbed, storage)
    assert not inspect(Storage(storage), artifacts=True).damages
