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
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
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
        if not self.pid:
            return f"somebody who has left {self.path}, which cannot be read,"
        return f"another sweep (process {self.pid} on {self.host}, since {self.started[:19]} UTC)"

    @property
    def is_known_dead(self) -> bool:
        """Whether its process is known to have ended; False if it cannot be seen from here."""
        return self._can_be_seen and not self._lives

    @property
    def is_known_alive(self) -> bool:
        return self._can_be_seen and self._lives

    @property
    def _can_be_seen(self) -> bool:
        return self.place == _place()

    @property
    def _lives(self) -> bool:
        if self.pid == os.getpid() and self.path not in _ours:
            return False  # left behind by this very process, whose storage refused to delete it
        return _born(self.pid) == self.born


#: Files of the leases that this process holds.
_ours: set[str] = set()


def holders(storage: Storage) -> list[Holder]:
    """The sweeps that say they are in charge of a storage."""
    paths = [f"{FOLDER}/{name}" for name in storage.names(FOLDER)]
    told = ((path, storage.read(path)) for path in paths)
    return [_holder(path, data) for path, data in told if data is not None]


def _holder(path: str, data: bytes) -> Holder:
    known = {field.name for field in fields(Holder)} - {"path"}
    try:
        told = {name: value for name, value in json.loads(data).items() if name in known}
        return Holder(path=path, **told)
    except (AttributeError, TypeError, ValueError):
        # Somebody all the same: alive if what is there changes.
        return Holder(path, host="", place="", pid=0, born="", started="", count=zlib.crc32(data))


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
        self.path = f"{FOLDER}/{uuid.uuid4().hex[:12]}.json"
        self._told: dict[str, Any] = {
            "host": socket.gethostname(),
            "place": _place(),
            "pid": os.getpid(),
            "born": _born(os.getpid()),
            "started": datetime.now(UTC).isoformat(),
            "count": 0,
            "is_running": False,
        }
        self._deposed: set[str] = set()
        self._ended = threading.Event()
        # Held while the own file is written or deleted; whether it should be there.
        self._lock = threading.Lock()
        self._is_up = False
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)

    def __enter__(self) -> Lease:
        """Takes charge.

        Raises:
            OptionError: another sweep is in charge.
        """
        _ours.add(self.path)
        try:
            self._thread.start()  # gives signs of life while it is looking around, too
            for left in reversed(range(_TRIES)):
                if self._is_taken(may_step_back=left > 0):
                    return self
                time.sleep(random.uniform(0.2, 2.0))
            raise AssertionError("the last try does not step back")
        except BaseException:
            self._leave()
            raise

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        self._ended.set()
        try:
            with suppress(OSError):
                self._take_down()
        finally:
            _ours.discard(self.path)

    def _is_taken(self, may_step_back: bool) -> bool:
        """Takes charge if nobody else is; False after stepping back from one who is starting too.

        Who has written its own file before it looks for others' cannot be overlooked by them.
        """
        with self._lock:
            self._is_up = True
            self._write()
        others = [other for other in holders(self._storage) if other.path != self.path]
        alive = [other for other in others if self._is_alive(other)]
        if not alive:
            there = {holder.path for holder in holders(self._storage)} if others else set()
            for other in others:
                if other.path not in there:  # it has ended, or stepped back, and may come again
                    continue
                self._say(f"{other} has ended; going on where it stopped")
                self._deposed.add(other.path)
                self._storage.delete_file(other.path)
            with self._lock:
                self._told["is_running"] = True
                self._write()
            return True
        self._take_down()
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
        self._storage.write(self.path, json.dumps(self._told).encode())

    def _take_down(self) -> None:
        with self._lock:
            self._is_up = False
            self._storage.delete_file(self.path)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            try:
                if self._told["is_running"] and self._is_deposed():
                    with self._lock:
                        is_leaving = not self._is_up  # and has deleted its file itself
                    if not is_leaving:
                        with suppress(OSError):
                            self._take_down()
                        self._on_loss()
                    return
                with self._lock:
                    if self._is_up:
                        self._told["count"] += 1
                        self._write()
            except OSError as error:
                _log.warning("storage=%s: no sign of life (%s)", self._storage.root, error)

    def _is_deposed(self) -> bool:
        """Whether another sweep has taken over, as this one gave no sign of life for so long."""
        told = {holder.path: holder for holder in holders(self._storage)}
        if told.pop(self.path, None) is None:
            return True
        for path in self._deposed & told.keys():  # a late sign of life of one who is not in charge
            self._storage.delete_file(path)
            del told[path]
        return any(other.is_running for other in told.values())


def _place() -> str:
    """What only processes that can see each other have in common; if not known, a new one."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # Of another user's processes nothing may be seen.
        return f"{boot} {Path('/proc/self/ns/pid').readlink()} {os.getuid()}"
    except OSError:  # no Linux: who is alive is told by its count
        return uuid.uuid4().hex


def _born(pid: int) -> str:
    """When a process started, in the kernel's count; empty if there is none, or it has ended."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in "ZX" else rest[18]
