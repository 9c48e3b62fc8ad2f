"""Ctrl-C while a command starts."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

from raylot.foundation.interruption import exits_on_ctrl_c

#: Catches everything, as some imports do.
_SWALLOWING = """
import signal, time
from raylot.foundation.interruption import exits_on_ctrl_c
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
with exits_on_ctrl_c():
    try:
        print("starting", flush=True)
        time.sleep(60)
    except BaseException:
        pass
    time.sleep(60)
"""


def test_it_ends_the_process_whatever_catches_it() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _SWALLOWING],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == "starting\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20) == ("", "")
    assert process.returncode == -signal.SIGINT


def test_afterwards_all_is_as_before() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with exits_on_ctrl_c():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_the_handler_of_somebody_else_stays() -> None:
    before = signal.signal(signal.SIGINT, lambda *_: None)
    own = signal.getsignal(signal.SIGINT)
    with exits_on_ctrl_c():
        assert signal.getsignal(signal.SIGINT) is own
    signal.signal(signal.SIGINT, before)


def test_elsewhere_than_in_the_main_thread_it_does_nothing() -> None:
    found = []

    def enter() -> None:
        with exits_on_ctrl_c():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [signal.getsignal(signal.SIGINT)]
