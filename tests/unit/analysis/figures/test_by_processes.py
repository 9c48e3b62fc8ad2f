"""Figures come out alike from one process and from several, and no process outlives its parent."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from matplotlib.figure import Figure

from raylot.analysis.figures import by_processes
from raylot.analysis.figures.by_processes import drawn_by_processes
from raylot.analysis.figures.material import NothingToDrawError


def _line(height: float) -> Figure:
    figure = Figure()
    figure.subplots().plot([0, height])
    return figure


def _nothing(why: str) -> Figure:
    raise NothingToDrawError(why)


def _mistake() -> Figure:
    raise ZeroDivisionError("a mistake of ours")


DRAWINGS = [functools.partial(_line, height) for height in range(13)]


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})


@pytest.mark.usefixtures("cores")
def test_several_processes_draw_the_same_in_the_same_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawings = [*DRAWINGS, functools.partial(_nothing, "no data")]
    several = drawn_by_processes(drawings)
    monkeypatch.setattr(by_processes, "_MOST_BYTES", 0)
    monkeypatch.setattr(subprocess, "Popen", lambda *given, **more: pytest.fail("too large"))
    assert drawn_by_processes(drawings) == several
    assert several[-1] == "no data"
    assert all(set(files) == {"png", "svg"} for files in several[:-1])
    assert len({files["svg"] for files in several[:-1] if isinstance(files, dict)}) == 13


@pytest.mark.usefixtures("cores")
def test_a_mistake_in_another_process_is_told() -> None:
    with pytest.raises(RuntimeError, match="ZeroDivisionError: a mistake of ours"):
        drawn_by_processes([*DRAWINGS[:11], _mistake])  # every second figure is another's


def test_few_figures_take_no_further_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *given, **more: pytest.fail("too few"))
    assert len(drawn_by_processes(DRAWINGS[:3])) == 3
    assert drawn_by_processes([]) == []


_SLOW = """
import functools
from raylot.analysis.figures.by_processes import drawn_by_processes
from tests.unit.analysis.figures.test_by_processes import slow_line
drawn_by_processes([functools.partial(slow_line, height) for height in range(1000)])
"""


def slow_line(height: float) -> Figure:
    time.sleep(0.2)
    return _line(height)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_its_parent(number: signal.Signals) -> None:
    parent = psutil.Popen(
        [sys.executable, "-c", _SLOW], stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[4]
    )
    give_up = time.monotonic() + 60
    while not (children := parent.children()) and time.monotonic() < give_up:
        time.sleep(0.05)
    assert children
    time.sleep(2)  # they draw
    parent.send_signal(number)
    parent.wait(20)
    assert not psutil.wait_procs(children, timeout=20)[1]
