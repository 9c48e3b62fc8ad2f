"""A Ray that starts while a sweep is checked is never left behind, or taken for the user's own."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from raylot.config import SweepOptions
from raylot.foundation.errors import OptionError
from raylot.sweep.ray_start import RayStart, is_ray_started

_INTERRUPTED = """
import os, signal, sys, threading, time
import raylot
from raylot.sweep.ray_start import is_ray_started

def interrupt(delay, again):
    for pause in (delay, again):
        time.sleep(pause)
        os.kill(os.getpid(), signal.SIGINT)

study = raylot.Study(seeds="0-3", tasks=3, snapshots="0,2", tickets=2)
interrupts = threading.Thread(target=interrupt, args=(float(sys.argv[2]), float(sys.argv[3])))
ends = []
for act in (lambda: [interrupts.start(), raylot.run(study, sys.argv[1])], lambda: time.sleep(3)):
    try:
        act()
    except KeyboardInterrupt:
        ends.append("interrupted")
print(is_ray_started(), ends)
"""


_IMPORTS = """
import sys
from raylot.config import SweepOptions
from raylot.sweep.joining import connect
from raylot.trials.ray_internals import import_what_starting_takes

options = SweepOptions(address="local")
import_what_starting_takes()
before = set(sys.modules)
connect(options, 2)
print("imported:", sorted({m.partition(".")[0] for m in {*sys.modules} - before}))
import ray
ray.shutdown()
"""


def test_a_ray_that_starts_imports_nothing_beside_the_other_thread() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTS], capture_output=True, text=True, timeout=120, check=False
    )
    assert "imported: []" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(("delay", "again"), [("1.2", "0.7"), ("2.0", "0.5")])
def test_two_interrupts_while_ray_starts_leave_none(tmp_path: Path, delay: str, again: str) -> None:
    """As a notebook's stop button, pressed twice."""
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED, str(tmp_path), delay, again],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert "False ['interrupted" in said, said
    left = [p for p in psutil.process_iter(["environ"]) if _is_of(p, str(tmp_path))]
    assert not left


def _is_of(process: psutil.Process, place: str) -> bool:
    try:
        return place in " ".join(process.cmdline())
    except psutil.Error:
        return False


def test_a_ray_that_is_being_left_is_no_users_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    may_connect = threading.Event()
    monkeypatch.setattr("raylot.sweep.joining.connect", lambda *given: may_connect.wait())
    monkeypatch.setattr("ray.is_initialized", may_connect.is_set)
    monkeypatch.setattr("ray.shutdown", may_connect.clear)
    start = RayStart(SweepOptions(), trials=1)
    start.begin()
    start.leave()
    threading.Timer(0.2, may_connect.set).start()
    assert not is_ray_started()
    assert not start.is_alive()


def test_a_half_imported_ray_has_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """So an interrupted import leaves it."""
    monkeypatch.setitem(sys.modules, "ray", type(sys)("ray"))
    assert not is_ray_started()


def test_who_waits_is_told_why_ray_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> None:
        raise OptionError("address=nowhere: must be somewhere")

    monkeypatch.setattr("raylot.sweep.joining.connect", refuse)
    start = RayStart(SweepOptions(), trials=1)
    start.begin()
    with pytest.raises(OptionError, match="must be somewhere"):
        start.wait()
    start.leave()
    start.join(timeout=10)
    assert not start.is_alive()
