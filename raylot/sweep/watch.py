"""Ends a sweep that is told to stop, or whose Ray is gone, within seconds and with clear words."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, NoReturn

#: Seconds between two looks.
_INTERVAL = 2.0

#: Seconds for which Ray's own processes may be out of reach; Ray itself waits 60 for some of them,
#: and for ever for others.
PATIENCE = 30.0

#: Seconds in which a second SIGTERM is the first one once more: some send it to a process and to
#: its group.
_SAME = 1.0

#: Seconds that leaving everything in order may take after the first signal.
_ORDERLY = 15.0

#: Seconds after which an interruption that Python dropped is raised again.
_AGAIN = 0.2

#: The exit status of a process that was interrupted, and of one that lost its cluster.
INTERRUPTED_STATUS, LOST_STATUS = 130, 1


class Watch:
    """Watches over a sweep, as a context.

    The first Ctrl-C or SIGTERM raises `KeyboardInterrupt` in the main thread, or while it is `held`
    at the next `raise_if_interrupted`; the second (but not a SIGTERM sent twice within a second),
    or 15 s without an end, ends the process at once. So does a Ray that cannot be reached. Nothing
    is lost by that: the storage holds all that was saved.

    Args:
        advice: what the user is told when the process ends at once: how to continue.
        before_end: called before that, to leave the terminal as it was.
    """

    def __init__(self, advice: str, before_end: Callable[[], None] = lambda: None) -> None:
        self._advice, self._before_end = advice, before_end
        self._ended = threading.Event()
        self._interrupted_at: float | None = None
        self._first_signal = 0
        self._is_held = self._is_dropped = False
        self._report_dropped = sys.unraisablehook
        self._handlers: dict[int, Any] = {}
        self._head: tuple[str, int] | None = None
        self._raylet: tuple[str, int] | None = None
        self._line: socket.socket | None = None
        self._reached_at = time.monotonic()

    def __enter__(self) -> Watch:
        self.listen()
        self._report_dropped, sys.unraisablehook = sys.unraisablehook, self._on_dropped
        threading.Thread(target=self._look, name="watch", daemon=True).start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        sys.unraisablehook = self._report_dropped
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
        import ray  # not at the top: a command with nothing to do ends without it

        own = ray.get_runtime_context().get_node_id()
        host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        self._reached_at, self._head = time.monotonic(), (host.strip("[]"), int(port))
        for node in ray.nodes():  # type: ignore[no-untyped-call]
            if node["NodeID"] == own:
                self._raylet = node["NodeManagerAddress"], node["NodeManagerPort"]

    def leave_cluster(self) -> None:
        """Ray may end now."""
        self._head = self._raylet = None

    def lost_storage(self) -> None:
        """Ends the process at once, as another sweep has taken over the storage."""
        self._end("another sweep has taken over this storage", LOST_STATUS)

    @property
    def is_interrupted(self) -> bool:
        return self._interrupted_at is not None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Meanwhile a first signal raises nothing by itself.

        An exception in the midst of another library's work may leave that half done, or be taken
        for an error there.
        """
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
        self.raise_if_interrupted()

    def raise_if_interrupted(self) -> None:
        """Raises what was held back.

        Raises:
            KeyboardInterrupt: there was a signal.
        """
        if self.is_interrupted:
            raise KeyboardInterrupt

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._is_dropped:  # sent by `_on_dropped`
            self._is_dropped = False
            if self._is_held:
                return
            raise KeyboardInterrupt
        if self._interrupted_at is not None:
            again = time.monotonic() < self._interrupted_at + _SAME
            if again and number == self._first_signal == signal.SIGTERM:
                return
            self._end("stopped at once", INTERRUPTED_STATUS)
        self._first_signal, self._interrupted_at = number, time.monotonic()
        # In a thread: whoever holds the terminal just now may never let go.
        threading.Thread(target=_acknowledge, daemon=True).start()
        if not self._is_held:
            raise KeyboardInterrupt

    def _on_dropped(self, dropped: sys.UnraisableHookArgs) -> None:
        """Python reports an exception that nobody can catch, as in a destructor, and goes on."""
        if not self.is_interrupted or not issubclass(dropped.exc_type, KeyboardInterrupt):
            self._report_dropped(dropped)
            return

        def again() -> None:
            if not self._ended.wait(_AGAIN):
                self._is_dropped = True
                signal.pthread_kill(threading.main_thread().ident or 0, self._first_signal)

        threading.Thread(target=again, daemon=True).start()

    def _look(self) -> None:
        while not self._ended.is_set():
            self._wait()
            now, head = time.monotonic(), self._head
            if self._interrupted_at is not None and now > self._interrupted_at + _ORDERLY:
                self._end("stopped", INTERRUPTED_STATUS)
            if head is None or _answers(head):
                self._reached_at = now
            elif now > self._reached_at + PATIENCE and self._head is not None:
                self._end(
                    f"Ray's head (its GCS) has not answered for {PATIENCE:.0f} s", LOST_STATUS
                )
        if self._line is not None:
            self._line.close()

    def _wait(self) -> None:
        """Waits for the next look, and sees at once if Ray's process on this machine ends.

        Without it Ray ends this process a second or two later, and says nothing of what to do; or
        it waits for ever. A connection to it tells first.
        """
        raylet = self._raylet
        if raylet is None:
            self._ended.wait(_INTERVAL)
        elif self._line is None:
            self._line = _connected(raylet, tries=3)
            if self._line is None and self._raylet is not None:
                self._end("Ray's process on this machine (the raylet) has ended", LOST_STATUS)
        else:
            self._line.settimeout(_INTERVAL)
            try:
                is_closed = not self._line.recv(65536)
            except TimeoutError:
                return
            except OSError:
                is_closed = True
            if is_closed:  # for doing nothing, or because the other end is gone: connects again
                self._line.close()
                self._line = None

    def _end(self, reason: str, status: int) -> NoReturn:
        def tell() -> None:
            print(f"\n{reason}. {self._advice}", file=sys.stderr, flush=True)

        try:
            # In threads: whoever holds the terminal just now may never let go.
            for last_deed in (self._before_end, tell):
                thread = threading.Thread(target=last_deed, daemon=True)
                thread.start()
                thread.join(timeout=2)
        finally:
            os._exit(status)


def _acknowledge() -> None:
    with suppress(OSError):
        os.write(2, b"\nending in order; once more ends at once\n")


def _connected(place: tuple[str, int], tries: int = 1) -> socket.socket | None:
    for left in reversed(range(tries)):
        with suppress(OSError):
            return socket.create_connection(place, timeout=5)
        if left:
            time.sleep(0.1)
    return None


def _answers(place: tuple[str, int]) -> bool:
    line = _connected(place)
    if line:
        line.close()
    return line is not None
