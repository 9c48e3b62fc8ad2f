"""Random faults for long: ``pytest -m slow -s tests/faults`` prints what was done."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from raylot import results
from raylot.results.integrity import inspect, mend
from raylot.storage import Storage
from tests.faults.clusters import RayCluster
from tests.faults.processes import Driver, comes_true, kill, pause
from tests.support.tables import assert_same_tables

pytestmark = [pytest.mark.slow, pytest.mark.timeout(4 * 3600)]

_KILLS = 60
_SOAK_SECONDS = 600.0

#: One stream and two searches.
_TINIEST = (
    "--seeds", "0", "--ticket-tasks", "0", "--tasks", "20", "--snapshots", "0,19",
    "--stream-snapshots", "0",
)  # fmt: skip
_TINIEST_RUNS = 1 + 4 + 2

#: Twelve of all that is in the tiny sweep.
_LARGER = ("--seeds", "0-11", "--address", "local")
_LARGER_RUNS = 12 * 11


def _assert_whole(expected: Path, storage: Path) -> None:
    assert_same_tables(expected, storage)
    assert not inspect(Storage(storage), artifacts=True).damages


def test_a_driver_killed_at_random_moments_and_run_again_until_it_is_through(
    tmp_path: Path,
) -> None:
    """On a cluster that outlives its drivers, whose trials may outlive them for a moment too."""
    generator = random.Random(0)
    counts: Counter[str] = Counter()
    with RayCluster(2) as cluster:
        arguments = ("--address", cluster.address, *_TINIEST)

        def driver(storage: Path) -> Driver:
            return Driver(storage, *arguments, environment=cluster.environment)

        expected = tmp_path / "expected"
        began = time.monotonic()
        with driver(expected) as undisturbed:
            undisturbed.finishes(_TINIEST_RUNS)
        longest = time.monotonic() - began
        for run in range(_KILLS):
            storage = tmp_path / f"killed-{run}"
            while True:
                with driver(storage) as killed:
                    if generator.random() < 0.7:  # while it computes, not while it starts
                        comes_true(
                            lambda storage=storage, killed=killed: (  # type: ignore[misc]
                                killed.process.poll() is not None
                                or bool(list(storage.glob("state/*/*")))
                            ),
                            within=120,
                        )
                        pause(generator, 2)
                    else:
                        pause(generator, longest)
                    if killed.process.poll() is not None:
                        killed.finishes(_TINIEST_RUNS)
                        break
                    kill(killed.process.pid)
                    counts["kills"] += 1
                    counts["kills with results there"] += (storage / "tables").exists()
                    counts["kills with a state there"] += bool(list(storage.glob("state/*/*")))
                if generator.random() < 0.5:  # or killed again
                    with driver(storage) as again:
                        again.finishes(_TINIEST_RUNS)
                    break
            _assert_whole(expected, storage)
            counts["runs equal to the undisturbed one"] += 1
            print(f"{run + 1} of {_KILLS}: {dict(counts)}", flush=True)
    assert counts["runs equal to the undisturbed one"] == _KILLS


class _Faults:
    """What is done to a sweep that is running, each fault by its name."""

    def __init__(self, storage: Path, generator: random.Random) -> None:
        self._storage, self._generator = storage, generator
        self.all: dict[str, Callable[[Driver], bool]] = {
            "worker killed": self._kill_worker,
            "driver killed": lambda driver: kill(driver.process.pid),
            "driver told to stop": lambda driver: kill(driver.process.pid, signal.SIGTERM),
            "Ctrl-C": lambda driver: kill(driver.process.pid, signal.SIGINT),
            "raylet killed": lambda driver: self._kill_member(driver, "raylet "),
            "GCS killed": lambda driver: self._kill_member(driver, "gcs_server"),
            "second driver": self._second,
            "saved state damaged": lambda driver: self._damage("state/*/*.safetensors"),
            "snapshot or masks damaged": lambda driver: self._damage("artifacts/*/*.safetensors"),
            "table damaged": lambda driver: self._damage("tables/*/*.parquet"),
        }

    def _kill_worker(self, driver: Driver) -> bool:
        workers = driver.workers()
        return bool(workers) and kill(self._generator.choice(workers))

    def _kill_member(self, driver: Driver, name: str) -> bool:
        return any([kill(pid) for pid in driver.members(name)])

    def _second(self, driver: Driver) -> bool:
        with Driver(self._storage, *_LARGER) as second:
            status, _, told = second.ends()
        # The first one may just have ended, and the second have gone on.
        return status == 2 and "must not be in use" in told

    def _damage(self, pattern: str) -> bool:
        files = [path for path in self._storage.glob(pattern) if not path.name.startswith(".")]
        if not files:
            return False
        path = self._generator.choice(files)
        try:
            data = bytearray(path.read_bytes())
            if data and self._generator.random() < 0.5:
                data[self._generator.randrange(len(data))] ^= 1 << self._generator.randrange(8)
                path.write_bytes(data)
            else:
                path.write_bytes(data[: self._generator.randrange(len(data) + 1)])
        except FileNotFoundError:  # the sweep was faster
            return False
        return True


def test_random_faults_for_ten_minutes_over_one_sweep(tmp_path: Path) -> None:
    generator = random.Random(1)
    expected, storage = tmp_path / "expected", tmp_path / "soaked"
    with Driver(expected, *_LARGER) as undisturbed:
        undisturbed.finishes(_LARGER_RUNS)
    faults = _Faults(storage, generator)
    tried: Counter[str] = Counter()
    recovery: dict[str, list[float]] = defaultdict(list)
    give_up = time.monotonic() + _SOAK_SECONDS
    last = ""
    while time.monotonic() < give_up:
        began = time.monotonic()
        with Driver(storage, *_LARGER) as driver:
            before = _written(storage)
            while driver.process.poll() is None and time.monotonic() < give_up:
                if _went_on(storage, before) and last:
                    recovery[last].append(time.monotonic() - began)
                    last = ""
                pause(generator, 8)
                name = generator.choice(list(faults.all))
                if driver.process.poll() is None and faults.all[name](driver):
                    tried[name] += 1
                    last, began, before = name, time.monotonic(), _written(storage)
                    comes_true(
                        lambda driver=driver, before=before: (  # type: ignore[misc]
                            driver.process.poll() is not None or _went_on(storage, before)
                        ),
                        within=60,
                    )
            if driver.process.poll() is not None:
                driver.ends()
        if len(results.finished_runs(Storage(storage))) == _LARGER_RUNS:
            _forget_some(storage, generator)
    while True:  # what was damaged without being needed is found by a check
        with Driver(storage, *_LARGER) as driver:
            driver.finishes(_LARGER_RUNS)
        found = inspect(Storage(storage), artifacts=True)
        if not found.damages:
            break
        mend(Storage(storage), found.damages)
    for name, times in sorted(recovery.items()):
        print(f"{name}: went on after {min(times):.1f} to {max(times):.1f} s", flush=True)
    print(f"faults: {dict(tried)}, {sum(tried.values())} in all", flush=True)
    _assert_whole(expected, storage)


def _written(storage: Path) -> float:
    """When something was last written that a sweep computes."""
    files = [*storage.glob("tables/*/*.parquet"), *storage.glob("state/*/*.safetensors")]
    times = []
    for path in files:
        try:
            times.append(path.stat().st_mtime)
        except FileNotFoundError:
            continue
    return max(times, default=0.0)


def _went_on(storage: Path, before: float) -> bool:
    return _written(storage) > before


def _forget_some(storage: Path, generator: random.Random) -> None:
    """There is more to do until the time is over."""
    for run_id in sorted(results.finished_runs(Storage(storage))):
        if generator.random() < 0.7:
            results.forget_runs(Storage(storage), {run_id})
