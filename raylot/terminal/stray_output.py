"""Catches lines that others write to the terminal, so that they appear above the live picture.

Ray's compiled parts write straight to this process's standard error, as do other libraries.
"""

from __future__ import annotations

import fcntl
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO

#: Bytes that may be caught before they are read.
_PIPE = 1 << 20


class StrayOutput:
    """Takes over the process's standard output and error where they are terminals.

    If the process is killed, the lines caught at that moment are lost.

    Args:
        say: is given each line, in a thread of its own.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._lock = threading.Lock()
        self._terminals: dict[int, int] = {}
        self._reader: threading.Thread | None = None

    def catch(self, terminal: IO[str]) -> IO[str]:
        """Begins; returns another stream to a terminal, which is not caught."""
        again = os.fdopen(os.dup(terminal.fileno()), "w", encoding=sys.stderr.encoding)
        self._terminals = {number: os.dup(number) for number in (1, 2) if os.isatty(number)}
        caught, strays = os.pipe()
        if sys.platform == "linux":
            # A full pipe would block for ever: its writer may hold Python's lock, which its reader
            # needs.
            with suppress(OSError):
                fcntl.fcntl(strays, fcntl.F_SETPIPE_SZ, _PIPE)
        for number in self._terminals:
            os.dup2(strays, number)
        os.close(strays)
        self._reader = threading.Thread(
            target=self._read, args=(caught,), name="stray output", daemon=True
        )
        self._reader.start()
        return again

    def release(self) -> None:
        """Gives standard output and error back."""
        with self._lock:
            terminals, self._terminals = self._terminals, {}
        for number, terminal in terminals.items():
            os.dup2(terminal, number)
            os.close(terminal)
        if self._reader:  # it may not end, if another process holds the pipe
            self._reader.join(timeout=0.5)

    def _read(self, caught: int) -> None:
        with os.fdopen(caught, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                self._say(line.rstrip())
