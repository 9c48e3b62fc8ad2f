"""One sweep at a time is in charge of a storage.

A sweep keeps a file ``drivers/<id>.json`` there, whose count it raises every few seconds. Who
wants to start and finds another's file tells from it whether that sweep is alive: on the same
machine by its process, elsewhere by its count, so that clocks need not agree. Its trials write only
while the file is there: whoever takes over removes it first.

It works on any storage, with nothing but whole files that are listed as soon as they are written.
Two that start at the same moment may both step back; they try again after a while of their own.
"""

from __future__ import annotations

import json
import logging
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from raylot.options import OptionError
from raylot.storage import Storage

FOLDER = "drivers"

#: Seconds between two signs of life.
BEAT = 5.0

#: Seconds without one after which a sweep on another machine counts as gone.
SILENCE = 60.0

#: Times that two sweeps which start at the same moment step back from each other.
_TRIES = 5

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holder:
    """A sweep that says it is in charge.

    Attributes:
        path: its file in the storage.
        host: the machine's name.
        place: what tells one machine, and one container on it, from others.
        pid: its process.
        born: when the process started, in the kernel's own count.
        started: ISO 8601, UTC.
        count: signs of life so far.
        is_running: False while it is looking around whether it may start.
    """

    path: str
    host: str
    place: str
    pid: int
    born: str
    started: str
    count: int = 0
    is_running: bool = False

    def __str__(self) -> str:
        return f"another sweep (process {self.pid} on {self.host}, since {self.started[:19]} UTC)"

    @property
    def is_known_dead(self) -> bool:
        """Whether its process is known to have ended; False if it cannot be seen from here."""
        return self.place == _place() and _born(self.pid) != self.born

    @property
    def is_known_alive(self) -> bool:
        return self.place == _place() and _born(self.pid) == self.born


def holders(storage: Storage) -> list[Holder]:
    """The sweeps that say they are in charge of a storage."""
    found = []
    for name in storage.names(FOLDER):
        data = storage.read(f"{FOLDER}/{name}")
        with suppress(ValueError, TypeError):  # half written by somebody who is gone
            if data is not None:
                found.append(Holder(path=f"{FOLDER}/{name}", **json.loads(data)))
    return found


class Lease:
    """Being in charge of a storage, as a context.

    Args:
        storage: of what.
        say: tells the user what is going on.
        on_loss: called from a thread if somebody else has taken over.
    """

    def __init__(
        self,
        storage: Storage,
        say: Callable[[str], None] = lambda line: None,
        on_loss: Callable[[], None] = lambda: None,
    ) -> None:
        self._storage, self._say, self._on_loss = storage, say, on_loss
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.path = ""
        self._own: dict[str, Any] = {}

    def __enter__(self) -> Lease:
        """Takes charge.

        Raises:
            OptionError: another sweep is in charge.
        """
        for left in reversed(range(_TRIES)):
            if self._is_taken(may_step_back=left > 0):
                break
            time.sleep(random.uniform(0.2, 2.0))
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._thread:
            self._thread.join(timeout=2 * BEAT)
        with suppress(OSError):
            self._storage.delete_file(self.path)

    def _is_taken(self, may_step_back: bool) -> bool:
        """Takes charge if nobody else is; False after stepping back from one who is starting too.

        Who has written its own file before it looks for others' cannot be overlooked by them.
        """
        self.path = f"{FOLDER}/{uuid.uuid4().hex[:12]}.json"
        self._own = {
            "host": socket.gethostname(),
            "place": _place(),
            "pid": os.getpid(),
            "born": _born(os.getpid()),
            "started": datetime.now(UTC).isoformat(),
            "count": 0,
            "is_running": False,
        }
        self._write()
        try:
            others = [other for other in holders(self._storage) if other.path != self.path]
            alive = [other for other in others if self._is_alive(other)]
        except BaseException:
            self._storage.delete_file(self.path)
            raise
        if not alive:
            for other in others:
                self._say(f"{other} has ended; going on where it stopped")
                self._storage.delete_file(other.path)
            self._own["is_running"] = True
            self._write()
            return True
        self._storage.delete_file(self.path)
        if may_step_back and not any(other.is_running for other in alive):
            return False
        raise OptionError(
            f"storage={self._storage.root}: must not be in use; {alive[0]} is running there; wait "
            "until it has ended, or stop it"
        )

    def _is_alive(self, other: Holder) -> bool:
        if other.is_known_alive or other.is_known_dead:
            return other.is_known_alive
        self._say(f"{other} may be running: watching for up to {SILENCE:.0f} s")
        give_up = time.monotonic() + SILENCE
        while time.monotonic() < give_up:
            time.sleep(1.0)
            now = {holder.path: holder for holder in holders(self._storage)}
            if other.path not in now:
                return False
            if now[other.path].count != other.count:
                return True
        return False

    def _write(self) -> None:
        self._storage.write(self.path, json.dumps(self._own).encode())

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            try:
                told = {holder.path: holder for holder in holders(self._storage)}
                own = told.pop(self.path, None)
                if own is None or any(other.is_running for other in told.values()):
                    self._storage.delete_file(self.path)
                    self._on_loss()
                    return
                self._own["count"] += 1
                if not self._ended.is_set():
                    self._write()
            except OSError as error:
                _log.warning("storage=%s: no sign of life (%s)", self._storage.root, error)


def _place() -> str:
    """What two processes that can see each other have in common; empty if that is not known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # no Linux: who is alive is told by its count
        return uuid.uuid4().hex


def _born(pid: int) -> str:
    """When a process started, in the kernel's count; empty if there is none, or it has ended."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in "ZX" else rest[18]
