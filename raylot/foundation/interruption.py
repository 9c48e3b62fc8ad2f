"""While a command starts, Ctrl-C ends the process at once and silently: nothing has begun yet.

Python itself would raise an exception wherever the process is at that moment. It would end in a
traceback, or get lost in an import that catches everything.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ends_at_once() -> Iterator[None]:
    """Lets Ctrl-C end the process in this context, with the status that shells show as 130."""
    is_python_s = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if threading.current_thread() is not threading.main_thread() or not is_python_s:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
