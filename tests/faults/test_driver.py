"""The driver is killed, told to stop, started twice; workers die: nothing is lost or written twice.

Ray is started by the driver itself, as on a laptop.
"""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from raylot.results.integrity import inspect
from raylot.storage import Storage
from tests.faults.processes import Driver, comes_true, kill, pause
from tests.support.progress import without_progress
from tests.support.tables import assert_same_tables

_LOCAL = ("--address", "local")

#: Seconds for which Ray's agents may outlive its other processes.
_AGENTS_STAY = 90


def _ended(storage: Path) -> int:
    return len(list((storage / "tables" / "runs").glob("*.parquet")))


def _saved(storage: Path) -> bool:
    return bool(list((storage / "state").glob("*/*.safetensors")))


def _assert_as_if_undisturbed(undisturbed: Path, storage: Path) -> None:
    assert_same_tables(undisturbed, storage)
    assert not inspect(Storage(storage), artifacts=True).damages
    assert not _saved(storage)
    assert not list((storage / "drivers").iterdir())


@pytest.mark.slow  # faster: test_ticket_count_vs_plasticity.py, test_interrupt_guard.py
@pytest.mark.parametrize(
    ("signals", "status", "words"),
    [
        ([signal.SIGKILL], -signal.SIGKILL, ""),
        ([signal.SIGTERM], 130, "Interrupted. Nothing that was saved is lost"),
        ([signal.SIGINT], 130, "Interrupted. Nothing that was saved is lost"),
        ([signal.SIGINT, signal.SIGINT], 130, "Nothing that was saved is lost"),
    ],
    ids=["SIGKILL", "SIGTERM", "Ctrl-C", "Ctrl-C twice"],
)
def test_a_driver_that_is_stopped_leaves_nothing_behind_and_goes_on(
    tmp_path: Path, undisturbed: Path, signals: list[int], status: int, words: str
) -> None:
    with Driver(tmp_path, *_LOCAL) as driver:
        driver.wait_until(lambda: _ended(tmp_path) >= 1 and _saved(tmp_path))
        stopped = time.monotonic()
        for number in signals:
            kill(driver.process.pid, number)
            time.sleep(0.1)
        ended, said, told = driver.ends(within=20)
        assert time.monotonic() - stopped < 20
        assert ended == status, told
        assert words in said + told
        # Ray's agents take a minute more after SIGKILL (`_AGENTS_STAY`); they hold nothing.
        assert comes_true(
            lambda: not (driver.members("raylet ", "gcs_server") or driver.workers()), 20
        )
    assert inspect(Storage(tmp_path), artifacts=True).damages == []
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "tables" / "runs").iterdir()}
    with Driver(tmp_path, *_LOCAL) as driver:
        driver.finishes()
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "a finished run ran again"
    _assert_as_if_undisturbed(undisturbed, tmp_path)


@pytest.mark.slow  # faster: a node goes in test_cluster.py
def test_workers_that_are_killed_at_random_moments_lose_nothing(
    tmp_path: Path, undisturbed: Path
) -> None:
    """They save all the time, so that some are killed while saving."""
    generator = random.Random(0)
    killed = 0
    with Driver(tmp_path, *_LOCAL) as driver:
        driver.wait_until(lambda: _saved(tmp_path))
        while killed < 6 and driver.process.poll() is None:
            pause(generator, 1.5)
            if workers := driver.workers():
                killed += kill(generator.choice(workers))
        told = driver.finishes()
    assert killed >= 3
    assert "lost its worker; another continues from the last save" in told
    _assert_as_if_undisturbed(undisturbed, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_command_that_is_stopped_while_it_checks_leaves_no_ray(
    tmp_path: Path, number: signal.Signals
) -> None:
    with Driver(tmp_path, *_LOCAL) as driver:
        driver.wait_until(lambda: bool(driver.members("gcs_server")))
        kill(driver.process.pid, number)
        status, said, told = driver.ends(within=20)
        assert (status, said, without_progress(told)) == (-number, "", "")
        assert comes_true(lambda: not driver.members("raylet ", "gcs_server"), 20)
        assert comes_true(lambda: not driver.members("ray::"), _AGENTS_STAY)
    assert not (tmp_path / "tables").exists()


def test_a_mistake_that_is_found_while_ray_starts_leaves_none(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from raylot import plugins\n\n"
        "@plugins.network('lame')\n"
        "def lame(options, shape, classes):\n"
        "    raise ValueError('cannot walk')\n"
    )
    with Driver(tmp_path, *_LOCAL, "--plugin", str(plugin), "--network", "lame") as driver:
        status, said, told = driver.ends(within=60)
        assert (status, said) == (2, "")
        assert "cannot walk" in told
        assert without_progress(told).count("\n") == 1
        assert not driver.members("raylet ", "gcs_server")
        assert comes_true(lambda: not driver.members("ray::"), _AGENTS_STAY)


def test_a_second_driver_says_what_is_going_on_and_touches_nothing(tmp_path: Path) -> None:
    long = ("--tasks", "200", "--snapshots", "0,199", "--stream-snapshots", "199")
    alone = (*_LOCAL, "--max-concurrent", "1", *long)
    with Driver(tmp_path, *alone) as first:
        first.wait_until(lambda: _saved(tmp_path))
        with Driver(tmp_path, *alone) as second:
            status, said, told = second.ends(within=60)
        assert status == 2
        assert said == ""
        assert told.startswith(f"error: --storage={tmp_path}: must not be in use; another sweep ")
        assert f"process {first.process.pid}" in told
        assert told.count("\n") == 1
        saved = len(list((tmp_path / "tables").rglob("*.parquet")))
        first.wait_until(lambda: len(list((tmp_path / "tables").rglob("*.parquet"))) > saved)


@pytest.mark.slow  # without Ray in test_lease.py
def test_of_two_drivers_at_once_one_computes(tmp_path: Path, undisturbed: Path) -> None:
    with Driver(tmp_path, *_LOCAL) as one, Driver(tmp_path, *_LOCAL) as other:
        ended = sorted((one.ends(), other.ends()))
    assert [status for status, _, _ in ended] == [0, 2]
    _assert_as_if_undisturbed(undisturbed, tmp_path)
