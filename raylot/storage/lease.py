"""One sweep, compaction or repair at a time is in charge of a storage, or of its share of it.

Sweeps that compute different shares of one study (``--share 3/16``) are in charge side by side,
each of the runs of its share. Nobody else is while any of them is. The names of their files tell
which share it is: with a thousand at work, none can read the files of all others again and again.

The owner keeps a file ``drivers/<id>.json`` there, and raises a count in it every few seconds. A
starter that finds such a file learns from it whether its owner is alive: on the same machine by the
owner's process, elsewhere by the count, so that clocks need not agree. Trials write only while the
file of their sweep exists: a starter that takes over deletes it first.

The storage must list a file as soon as it is written; nothing else is needed. Two starters at the
same moment may both step back; they try again after a random pause.
"""

from __future__ import annotations

import json
import logging
import os
import random
import re
import socket
import threading
import time
import uuid
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import pydantic.dataclasses

from raylot.foundation.errors import OptionError
from raylot.storage import Storage

FOLDER = "drivers"

_OF_A_SHARE = re.compile(
    FOLDER + "/share-(?P<number>[0-9]+)-(?P<of>[0-9]+)-(?P<study>[0-9A-Za-z]+)-[0-9a-f]{12}[.]json"
)

#: Seconds between two signs of life.
BEAT = 5.0

#: Seconds without a sign of life after which an owner on another machine counts as gone.
SILENCE = 60.0

#: Times that a sweep tries to start while others start at the same moment and make it step back.
_TRIES = 5

_log = logging.getLogger(__name__)


@pydantic.dataclasses.dataclass(frozen=True, config={"extra": "ignore", "strict": True})
class Holder:
    """The owner of a file in `FOLDER`: a sweep, a compaction or a repair.

    Attributes:
        path: of the file in the storage.
        host: the machine's name.
        place: identifies the machine, and the container on it.
        pid: of the owner's process; 0 if the file cannot be read.
        born: when the process started, in the kernel's own count.
        started: ISO 8601, UTC.
        count: signs of life so far.
        is_running: False while the owner checks whether it may start.
    """

    path: str
    host: str = ""
    place: str = ""
    pid: int = 0
    born: str = ""
    started: str = ""
    count: int = 0
    is_running: bool = False

    def __str__(self) -> str:
        if not self.pid:
            return f"another sweep (its file {self.path} cannot be read)"
        who = f"share {self.share} of a study" if self.share else "another sweep"
        return f"{who} (process {self.pid} on {self.host}, since {self.started[:19]} UTC)"

    @property
    def share(self) -> str:
        """The share of a study that the owner computes, as ``3/16``; empty: it computes all."""
        found = _OF_A_SHARE.fullmatch(self.path)
        return f"{found['number']}/{found['of']}" if found else ""

    @property
    def is_alive(self) -> bool | None:
        """Returns whether the owner's process exists; None if this machine cannot tell."""
        if self.place != _place():
            return None
        if self.pid == os.getpid() and self.path not in _ours:
            return False  # this very process left it, as the storage refused to delete it
        return _born(self.pid) == self.born


def _work_beside(one: str, other: str) -> bool:
    """Returns whether the owners of two files compute different shares of one study."""
    own, others = _OF_A_SHARE.fullmatch(one), _OF_A_SHARE.fullmatch(other)
    if not own or not others:
        return False
    is_one_study = own.group("of", "study") == others.group("of", "study")
    return is_one_study and own["number"] != others["number"]


#: Files of the leases that this process holds.
_ours: set[str] = set()


def holders(storage: Storage, wanted: Callable[[str], bool] = lambda path: True) -> list[Holder]:
    """Returns the sweeps that claim a storage, if the path of their file is wanted."""
    paths = filter(wanted, [f"{FOLDER}/{name}" for name in storage.names(FOLDER)])
    found = {path: storage.read(path) for path in paths}
    return [_holder(path, data) for path, data in found.items() if data is not None]


def _holder(path: str, data: bytes) -> Holder:
    try:
        return Holder(**{**json.loads(data), "path": path})
    except (TypeError, ValueError, RecursionError):
        return Holder(path, count=zlib.crc32(data))  # alive if the contents change


class Lease:
    """Makes this process the only one in charge of a storage, as a context.

    Args:
        storage: to be in charge of.
        say: tells the user what the lease waits for or takes over.
        on_loss: called from a thread if another sweep has taken over.
        share: of a study that this process is in charge of, as ``3/16``; empty: of all.
        study: what is shared out, as a hash.
    """

    def __init__(
        self,
        storage: Storage,
        say: Callable[[str], None] = lambda line: None,
        on_loss: Callable[[], None] = lambda: None,
        share: str = "",
        study: str = "",
    ) -> None:
        self._storage, self._say, self._on_loss = storage, say, on_loss
        name = f"{uuid.uuid4().hex[:12]}.json"
        if share:
            name = f"share-{share.replace('/', '-')}-{study}-{name}"
        self._own = Holder(
            path=f"{FOLDER}/{name}",
            host=socket.gethostname(),
            place=_place(),
            pid=os.getpid(),
            born=_born(os.getpid()),
            started=datetime.now(UTC).isoformat(),
        )
        self.path = self._own.path
        self._deposed: set[str] = set()
        self._ended = threading.Event()
        # Held while our file is written or deleted.
        self._lock = threading.Lock()
        # Whether our file should exist.
        self._is_up = False
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)

    def __enter__(self) -> Lease:
        """Takes charge, and deletes temporary files of killed writers.

        Raises:
            OptionError: another sweep is in charge.
        """
        _ours.add(self.path)
        try:
            self._thread.start()  # others must see that we live while we check them
            for left in reversed(range(_TRIES)):
                if self._is_taken(may_step_back=left > 0):
                    break
                time.sleep(random.uniform(0.2, 2.0))
            self._storage.remove_leftovers()
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        _ours.discard(self.path)
        with suppress(OSError):
            self._take_down()

    def check_free(self) -> None:
        """Checks at once, before taking charge, that no sweep on this machine is in charge.

        Raises:
            OptionError: one is.
        """
        for other in holders(self._storage, self._is_in_the_way):
            if other.is_alive and other.is_running:
                raise self._refused(other)

    def check(self) -> None:
        """Checks that no other sweep has taken over.

        Raises:
            OptionError: another sweep has.
        """
        if not self._storage.exists(self.path):
            raise OptionError(
                f"storage={self._storage.root}: must not be in use; another sweep has taken over"
            )

    def _is_taken(self, may_step_back: bool) -> bool:
        """Takes charge; or steps back and returns False if another sweep is starting too."""
        # Write our file before listing the others, so that two starters always see each other.
        self._put_up()
        others = holders(self._storage, self._is_in_the_way)
        if alive := self._alive(others):
            self._take_down()
            if may_step_back and not any(other.is_running for other in alive):
                return False
            raise self._refused(alive[0])
        there = {f"{FOLDER}/{name}" for name in self._storage.names(FOLDER)} if others else set()
        for other in others:
            if other.path in there:  # else its owner has ended or stepped back
                self._say(f"{other} has ended; going on where it stopped")
                self._deposed.add(other.path)
                self._storage.delete_file(other.path)
        self._put_up(is_running=True)
        return True

    def _is_in_the_way(self, path: str) -> bool:
        return path != self.path and not _work_beside(self.path, path)

    def _refused(self, other: Holder) -> OptionError:
        if self._own.share and other.share:
            return OptionError(
                f"share={self._own.share}: must be another share of the same study, divided in the "
                f"same way, while {other} is computed in storage={self._storage.root}"
            )
        return OptionError(
            f"storage={self._storage.root}: must not be in use; {other} is running there; wait "
            "until it has ended, or stop it"
        )

    def _alive(self, others: list[Holder]) -> list[Holder]:
        """Returns the owners that are alive; watches those on other machines, all at once."""
        silent = [other for other in others if other.is_alive is None]
        alive = [other for other in others if other.is_alive]
        if not alive:
            for other in silent:
                self._say(f"{other} may be running: watching for up to {SILENCE:.0f} s")
        give_up = time.monotonic() + SILENCE
        while silent and not alive and time.monotonic() < give_up:
            time.sleep(1.0)
            found = holders(self._storage, self._is_in_the_way)
            now = {holder.path: holder.count for holder in found}
            silent = [other for other in silent if other.path in now]
            alive = [other for other in silent if now[other.path] != other.count]
        return alive

    def _put_up(self, *, is_running: bool = False) -> None:
        with self._lock:
            self._is_up, self._own = True, replace(self._own, is_running=is_running)
            self._write()

    def _write(self) -> None:
        self._own = replace(self._own, count=self._own.count + 1)
        self._storage.write(self.path, json.dumps(asdict(self._own)).encode())

    def _take_down(self) -> None:
        with self._lock:
            self._is_up = False
            self._storage.delete_file(self.path)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            try:
                is_deposed = self._own.is_running and self._is_deposed()
                with self._lock:
                    if not self._is_up:  # we have stepped back, or are leaving
                        continue
                    if not is_deposed:
                        self._write()
                        continue
                with suppress(OSError):
                    self._take_down()
                self._on_loss()
                return
            except OSError as error:
                _log.warning("storage=%s: no sign of life (%s)", self._storage.root, error)

    def _is_deposed(self) -> bool:
        """Returns whether another sweep has taken over because we gave no sign of life."""
        if not self._storage.exists(self.path):
            return True
        told = {other.path: other for other in holders(self._storage, self._is_in_the_way)}
        for path in self._deposed & told.keys():  # a late sign of life of an owner we deposed
            self._storage.delete_file(path)
            del told[path]
        return any(other.is_running for other in told.values())


def _place() -> str:
    """Returns a text that two processes have in common if and only if they can see each other.

    Each call returns another text on systems other than Linux.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # The user's number belongs to it: some systems hide the processes of other users.
        return f"{boot} {Path('/proc/self/ns/pid').readlink()} {os.getuid()}"
    except OSError:
        return uuid.uuid4().hex


def _born(pid: int) -> str:
    """Returns when a process started, in the kernel's count; empty if no such process runs."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in "ZX" else rest[18]
