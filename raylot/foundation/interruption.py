"""While a command starts, Ctrl-C ends the process at once and silently: nothing has begun yet.

Python would raise KeyboardInterrupt instead. That ends in a traceback, or is lost in an import
that catches all exceptions.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def exits_on_ctrl_c() -> Iterator[None]:
    """Lets Ctrl-C end the process in this context; shells show this as status 130."""
    is_pythons = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if threading.current_thread() is not threading.main_thread() or not is_pythons:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
