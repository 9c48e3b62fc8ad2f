"""A sweep ends when a user stops it or Ray is gone, even if its terminal hangs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

#: What is said at once to the first signal.
_HEARD = "\nending in order; once more stops at once\n"

#: Watches, says so, and does not let itself be interrupted. As a kernel, it must not be ended, and
#: holds signals back.
_STUBBORN = """
import contextlib, sys, time
from raylot.sweep import interrupt_guard
interrupt_guard._INTERVAL, interrupt_guard._ORDERLY, interrupt_guard.PATIENCE = 0.1, 1.0, 1.0
head, raylet, is_kernel = map(int, sys.argv[1:])
guard = interrupt_guard.InterruptGuard("How to go on.", may_end_process=not is_kernel)
with guard, guard.held() if is_kernel else contextlib.nullcontext():
    guard._head = ("127.0.0.1", head) if head else None
    guard._raylet = ("127.0.0.1", raylet) if raylet else None
    print("watching", flush=True)
    while True:
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            print("told to stop", flush=True)
"""

#: Does not want to be interrupted for a second.
_HOLDING = """
import time
from raylot.sweep.interrupt_guard import InterruptGuard
with InterruptGuard("") as guard:
    try:
        with guard.held():
            print("watching", flush=True)
            time.sleep(1)
            print("is done", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        print("told to stop", flush=True)
"""


def _start(
    code: str = _STUBBORN, head: int = 0, raylet: int = 0, is_kernel: int = 0
) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(head), str(raylet), str(is_kernel)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == "watching\n"
    time.sleep(0.5)  # until it sleeps
    return process


def test_the_second_signal_ends_it_at_once() -> None:
    process = _start()
    process.send_signal(signal.SIGINT)
    assert process.stdout
    assert process.stdout.readline() == "told to stop\n"
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=10)
    assert (process.returncode, told) == (130, f"{_HEARD}\nstopped at once. How to go on.\n")


def test_a_signal_sent_to_process_and_group_is_one() -> None:
    process = _start()
    process.send_signal(signal.SIGTERM)
    assert process.stdout
    assert process.stdout.readline() == "told to stop\n"
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=20)
    assert (process.returncode, told) == (130, f"{_HEARD}\nstopped. How to go on.\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_does_not_end_by_itself_is_ended(number: int) -> None:
    process = _start()
    process.send_signal(number)
    _, told = process.communicate(timeout=20)
    assert (process.returncode, told) == (130, f"{_HEARD}\nstopped. How to go on.\n")


def test_an_interruption_is_raised_where_it_can_be_caught() -> None:
    process = _start(_HOLDING)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20) == ("is done\ntold to stop\n", _HEARD)


@pytest.mark.parametrize("stderr", ["closed", "full"])
def test_it_ends_though_nobody_hears_it(stderr: str) -> None:
    """As with ``2>&1 | tee log``, where Ctrl-C ends tee first; or with a terminal that is held."""
    reader, writer = os.pipe()
    if stderr == "full":
        os.set_blocking(writer, False)
        try:
            while True:
                os.write(writer, b"x" * 65536)
        except BlockingIOError:
            os.set_blocking(writer, True)
    process = subprocess.Popen(
        [sys.executable, "-c", _STUBBORN, "0", "0", "0"], stdout=subprocess.PIPE, stderr=writer
    )
    os.close(writer)
    assert process.stdout
    assert process.stdout.readline() == b"watching\n"
    time.sleep(0.5)
    if stderr == "closed":
        os.close(reader)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    if stderr == "full":
        os.close(reader)
    process.stdout.close()


@pytest.mark.parametrize(
    ("which", "words"),
    [("head", "Ray's head (its GCS) has not answered for 1 s"), ("raylet", "(the raylet) has end")],
)
def test_it_ends_when_ray_is_gone(which: str, words: str) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        process = _start(**{which: server.getsockname()[1]})
        time.sleep(1.5)
        assert process.poll() is None
    _, told = process.communicate(timeout=20)
    assert process.returncode == 1
    assert words in told
    assert told.endswith("How to go on.\n")


def test_a_notebooks_kernel_is_interrupted_and_never_ended() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as server:
        process = _start(head=server.getsockname()[1], is_kernel=1)
        process.send_signal(signal.SIGINT)
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        assert process.stdout
        assert process.stdout.readline() == "told to stop\n"
    assert process.stdout.readline() == "told to stop\n"  # Ray is gone
    time.sleep(0.5)
    assert process.poll() is None
    process.kill()
    _, told = process.communicate()
    lost = "Ray's head (its GCS) has not answered for 1 s. How to go on."
    assert told == f"{_HEARD}\n{lost}\n"
