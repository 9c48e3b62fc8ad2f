"""Sweeps as real processes: started, watched, disturbed and cleaned up; and the sweep they run."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from raylot.trials.kinds import TRIALS
from raylot.trials.setting import SettingTrial
from raylot.trials.trainable import AnyTrial

SCRIPT = Path(__file__).with_name("sweep_alone.py")

#: Two streams, four measurements, four searches and two ticket streams, slow enough to disturb.
TINY = [
    "--tasks", "8", "--snapshots", "0,7", "--epochs", "2", "--hidden", "16", "--tickets", "2",
    "--rounds", "2", "--seeds", "0-1", "--shifts", "permuted_pixels", "--sparsities", "0.8",
    "--probe-size", "50", "--ntk-examples", "0", "--sharpness-iterations", "0",
    "--ticket-tasks", "3", "--subnetworks", "ticket", "--stream-snapshots", "7",
    "--save-interval", "0", "--engine", "generic", "--max-failures", "50",
]  # fmt: skip
RUNS = 2 + 8 + 4 + 2 + 6

#: A stream and one search, as small as they can be, on a Ray of their own.
LEAST = [
    "--tasks", "1", "--snapshots", "0", "--epochs", "1", "--hidden", "8", "--tickets", "1",
    "--rounds", "1", "--seeds", "0", "--shifts", "stationary", "--sparsities", "0.5",
    "--probe-size", "20", "--ntk-examples", "0", "--sharpness-iterations", "0",
    "--random-masks", "1", "--rewired-masks", "0", "--reinit-tickets", "0", "--address", "local",
    "--storage", "s3://bucket/study", "--max-concurrent", "1",
]  # fmt: skip

#: How titles of workers begin: of those that wait, with their class; at work, with what they do.
_WORKERS = (
    *(f"ray::{trial.__name__}" for trial in (AnyTrial, SettingTrial)),
    *(f"ray::{kind} seed=" for kind in TRIALS),
    "ray::setting ",
)


def command(storage: str | Path, *extra: str) -> list[str]:
    return [sys.executable, str(SCRIPT), *TINY, "--storage", str(storage), *extra]


class Family:
    """A process in a session of its own, with all that it starts; gone at the end of the context.

    Ray's processes outlive their parents. So members are known by a variable in their environment,
    or by their session: Ray's agents write their titles over their environment.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._mark = f"RAYLOT_TEST_FAMILY={uuid.uuid4().hex}"
        name, value = self._mark.split("=")
        self.process = subprocess.Popen(
            arguments,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, **environment, name: value},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        while members := self.members():
            for pid in members:
                kill(pid)
            time.sleep(0.05)
        self.process.communicate()

    def members(self, *titles: str) -> list[int]:
        """Its living processes; only those whose title holds one of some texts, if any is given."""
        found = [pid for pid in _pids() if self._has(pid) and title(pid)]  # zombies have no title
        return [pid for pid in found if not titles or any(text in title(pid) for text in titles)]

    def _has(self, pid: int) -> bool:
        with contextlib.suppress(OSError):
            if os.getsid(pid) == self.process.pid:
                return True
        return self._mark.encode() in _bytes(f"/proc/{pid}/environ").split(b"\0")


class Driver(Family):
    """A sweep's driver."""

    def __init__(
        self, storage: str | Path, *extra: str, environment: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(command(storage, *extra), {"RAY_ADDRESS": "", **(environment or {})})

    def ends(self, within: float = 300) -> tuple[int, str, str]:
        """Waits for the end: exit status, standard output and error."""
        said, told = self.process.communicate(timeout=within)
        assert "Traceback" not in told, told
        return self.process.returncode, said, told

    def finishes(self, runs: int = RUNS) -> str:
        """Waits for a good end; returns what was said on standard error."""
        status, said, told = self.ends()
        assert status == 0, f"{status}\n{said}\n{told}"
        assert said.startswith(f"{runs} runs finished\n"), said
        return told

    def wait_until(self, reached: Callable[[], bool], within: float = 200) -> None:
        """Waits for a moment at which the sweep is still running."""
        give_up = time.monotonic() + within
        while not reached():
            if self.process.poll() is not None:
                raise AssertionError(f"it ended too early: {self.process.communicate()}")
            assert time.monotonic() < give_up, "nothing happened for too long"
            time.sleep(0.1)

    def workers(self) -> list[int]:
        """The processes of its trials, if it has started Ray itself."""
        return self.members(*_WORKERS)


def title(pid: int) -> str:
    """What a process calls itself: ``ray::stream seed=0 rotation`` for a trial at work."""
    return _bytes(f"/proc/{pid}/cmdline").replace(b"\0", b" ").decode(errors="replace").strip()


def kill(pid: int, number: int = signal.SIGKILL) -> bool:
    """Sends a signal; whether the process was there."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def pause(generator: random.Random, longest: float) -> None:
    time.sleep(generator.uniform(0, longest))


def comes_true(is_so: Callable[[], bool], within: float) -> bool:
    """Whether something comes to be so in time."""
    give_up = time.monotonic() + within
    while not is_so():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.1)
    return True


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _bytes(path: str) -> bytes:
    """A file of a process; empty if that has ended."""
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""
