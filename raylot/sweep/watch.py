"""Ends a sweep that is told to stop, or whose Ray is gone, within seconds and with clear words."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, NoReturn

import ray

#: Seconds between two looks.
_INTERVAL = 2.0

#: Seconds for which Ray's own processes may be out of reach; Ray itself waits 60 for some of them,
#: and for ever for others.
PATIENCE = 30.0

#: Seconds that leaving everything in order may take after the first signal.
_ORDERLY = 15.0

#: The exit status of a process that was interrupted, and of one that lost its cluster.
INTERRUPTED_STATUS, LOST_STATUS = 130, 1


class Watch:
    """Watches over a sweep, as a context.

    The first Ctrl-C or SIGTERM raises `KeyboardInterrupt` in the main thread; the second, or
    15 s without an end, ends the process at once. So does a Ray that cannot be reached. Nothing is
    lost by that: the storage holds all that was saved.

    Args:
        advice: what the user is told when the process ends at once: how to continue.
        before_end: called before that, to leave the terminal as it was.
    """

    def __init__(self, advice: str, before_end: Callable[[], None] = lambda: None) -> None:
        self._advice, self._before_end = advice, before_end
        self._ended = threading.Event()
        self._interrupted_at: float | None = None
        self._handlers: dict[int, Any] = {}
        self._places: dict[str, tuple[str, int]] = {}
        self._reached_at = time.monotonic()

    def __enter__(self) -> Watch:
        self.listen()
        threading.Thread(target=self._look, name="watch", daemon=True).start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def listen(self) -> None:
        """Takes over Ctrl-C and SIGTERM; again once Ray has started, which takes SIGTERM too."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.signal(number, self._on_signal)
            self._handlers.setdefault(number, before)

    def watch_cluster(self) -> None:
        """From now on, Ray's head and this machine's own Ray process must stay in reach."""
        own = ray.get_runtime_context().get_node_id()
        host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        places = {"Ray's head (the GCS)": (host.strip("[]"), int(port))}
        for node in ray.nodes():  # type: ignore[no-untyped-call]
            if node["NodeID"] == own:
                address = node["NodeManagerAddress"], node["NodeManagerPort"]
                places["Ray on this machine (the raylet)"] = address
        self._reached_at, self._places = time.monotonic(), places

    def leave_cluster(self) -> None:
        """Ray may end now."""
        self._places = {}

    def lost_storage(self) -> None:
        """Ends the process at once, as another sweep has taken over the storage."""
        self._end("another sweep has taken over this storage", LOST_STATUS)

    @property
    def is_interrupted(self) -> bool:
        return self._interrupted_at is not None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._interrupted_at is not None:
            self._end("stopped at once", INTERRUPTED_STATUS)
        self._interrupted_at = time.monotonic()
        raise KeyboardInterrupt

    def _look(self) -> None:
        while not self._ended.wait(_INTERVAL):
            now = time.monotonic()
            if self._interrupted_at is not None and now > self._interrupted_at + _ORDERLY:
                self._end("stopped", INTERRUPTED_STATUS)
            lost = [name for name, place in self._places.items() if not _answers(*place)]
            if not lost:
                self._reached_at = now
            elif now > self._reached_at + PATIENCE and self._places:
                self._end(f"{lost[0]} has not answered for {PATIENCE:.0f} s", LOST_STATUS)

    def _end(self, reason: str, status: int) -> NoReturn:
        self._before_end()
        print(f"\n{reason}. {self._advice}", file=sys.stderr, flush=True)
        os._exit(status)


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True
