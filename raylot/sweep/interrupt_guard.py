"""Ends a sweep within seconds when the user stops it or Ray is gone, and says how to go on."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

#: Seconds between two looks at the clock and at Ray.
_INTERVAL = 0.5

#: Seconds for which Ray's own processes may be out of reach. Ray itself waits 60 s for some and
#: for ever for others.
PATIENCE = 30.0

#: Seconds within which a second SIGTERM counts as the first: some programs send one to a process
#: and another to its group.
_SAME = 1.0

#: Seconds that the sweep may take to end in order after the first signal.
_ORDERLY = 15.0

#: The exit status of a process that was interrupted, and of one that lost its cluster.
INTERRUPTED_STATUS, LOST_STATUS = 130, 1


class InterruptGuard:
    """Guards a sweep, as a context, against signals and against the loss of Ray.

    The first Ctrl-C or SIGTERM raises `KeyboardInterrupt` in the main thread; in a block that is
    `held`, at the block's end or at `raise_if_interrupted`. A second signal, or 15 s without an
    end, ends the process at once. So does a Ray that cannot be reached. Nothing is lost by that:
    the storage holds all that was saved.

    A notebook's kernel must go on: with ``may_end_process=False`` a second signal and the loss of
    Ray raise `KeyboardInterrupt` at once, in a held block too.

    Args:
        advice: tells the user how to continue, where the process ends at once.
        before_end: called before the process ends at once, to leave the terminal as it was.
        may_end_process: whether the process may be ended.
    """

    def __init__(
        self,
        advice: str,
        before_end: Callable[[], None] = lambda: None,
        *,
        may_end_process: bool = True,
    ) -> None:
        self._advice, self._before_end = advice, before_end
        self._may_end_process = may_end_process
        self._ended = threading.Event()
        self._interrupted_at: float | None = None
        self._first_signal = 0
        self._is_held = False
        self._handlers: dict[int, Any] = {}
        self._head: tuple[str, int] | None = None
        self._raylet: tuple[str, int] | None = None
        self._reached_at = time.monotonic()

    def __enter__(self) -> InterruptGuard:
        self.listen()
        threading.Thread(target=self._watch, name="interrupt guard", daemon=True).start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def listen(self) -> None:
        """Takes over Ctrl-C and SIGTERM. Call it again once Ray has started and taken SIGTERM."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            before = signal.signal(number, self._on_signal)
            self._handlers.setdefault(number, before)

    def watch_cluster(self) -> None:
        """Starts to watch Ray: ends the process if its head or this machine's raylet is gone."""
        import ray  # not at the top: a command with nothing to do ends without it

        own = ray.get_runtime_context().get_node_id()
        host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        self._reached_at, self._head = time.monotonic(), (host.strip("[]"), int(port))
        for node in ray.nodes():  # type: ignore[no-untyped-call]
            if node["NodeID"] == own:
                self._raylet = node["NodeManagerAddress"], node["NodeManagerPort"]

    def leave_cluster(self) -> None:
        """Stops watching Ray, which is about to end."""
        self._head = self._raylet = None

    def lost_storage(self) -> None:
        """Ends the process at once, because another sweep has taken over the storage."""
        self._end("another sweep has taken over this storage", LOST_STATUS)

    @property
    def is_interrupted(self) -> bool:
        return self._interrupted_at is not None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds a first signal back until the block ends.

        An exception raised inside another library may leave its work half done, or be taken for an
        error there.
        """
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
        self.raise_if_interrupted()

    def raise_if_interrupted(self) -> None:
        """Raises the interruption that was held back.

        Raises:
            KeyboardInterrupt: a signal has come.
        """
        if self.is_interrupted:
            raise KeyboardInterrupt

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._interrupted_at is not None:
            again = time.monotonic() < self._interrupted_at + _SAME
            if again and number == self._first_signal == signal.SIGTERM:
                return
            if not self._may_end_process:
                raise KeyboardInterrupt
            self._end("stopped at once", INTERRUPTED_STATUS)
        self._first_signal, self._interrupted_at = number, time.monotonic()
        # In a thread: another thread may hold the terminal for ever.
        threading.Thread(target=_acknowledge, daemon=True).start()
        if not self._is_held:
            raise KeyboardInterrupt

    def _watch(self) -> None:
        while not self._ended.wait(_INTERVAL):
            now = time.monotonic()
            if (
                self._may_end_process
                and self._interrupted_at is not None
                and now > self._interrupted_at + _ORDERLY
            ):
                self._end("stopped", INTERRUPTED_STATUS)
            # After the raylet's end, Ray soon ends this process without a word, or waits for ever.
            raylet, head = self._raylet, self._head
            if raylet and not _answers(raylet, tries=3) and self._raylet:
                self._end("Ray's process on this machine (the raylet) has ended", LOST_STATUS)
            if not head or _answers(head):
                self._reached_at = now
            elif now > self._reached_at + PATIENCE and self._head:
                self._end(
                    f"Ray's head (its GCS) has not answered for {PATIENCE:.0f} s", LOST_STATUS
                )

    def _end(self, reason: str, status: int) -> None:
        """Ends the process; or interrupts the main thread, if the process must go on."""

        def tell() -> None:
            print(f"\n{reason}. {self._advice}", file=sys.stderr, flush=True)

        try:
            # In threads: another thread may hold the terminal for ever.
            for act in (self._before_end, tell):
                thread = threading.Thread(target=act, daemon=True)
                thread.start()
                thread.join(timeout=2)
        finally:
            if self._may_end_process:
                os._exit(status)
        if not self._ended.is_set():  # else the sweep has ended meanwhile
            self._ended.set()
            self._is_held = False
            # Not `_thread.interrupt_main`: it leaves a main thread that sleeps asleep.
            main = threading.main_thread().ident
            assert main
            signal.pthread_kill(main, signal.SIGINT)


def _acknowledge() -> None:
    with suppress(OSError):
        os.write(2, b"\nending in order; once more stops at once\n")


def _answers(place: tuple[str, int], tries: int = 1) -> bool:
    for left in reversed(range(tries)):
        with suppress(OSError):
            socket.create_connection(place, timeout=5).close()
            return True
        if left:
            time.sleep(0.1)
    return False
