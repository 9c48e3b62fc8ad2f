"""A real sweep on a real terminal: what is left on its screen, whatever else writes there."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

_WIDTH = 60

#: Writes past Python's streams, through them, and from a child process, while a sweep runs.
_NOISY = """
import os, subprocess, sys, threading, time
from raylot.command.studies import StudyKind, run_study
from raylot.sweep import study_spaces
ended = threading.Event()
def write():
    while os.isatty(2):  # until it is caught; a child that began before would not be
        time.sleep(0.01)
    while not ended.wait(0.5):
        os.write(2, b"<compiled parts of Ray write such lines, wider than the screen is>\\n")
        print("<python>")
        subprocess.run(["echo", "<child>"])
noise = threading.Thread(target=write)
noise.start()
status = run_study(StudyKind("study", "", {}), study_spaces, sys.argv[2:], script=sys.argv[1])
ended.set()
noise.join()
sys.exit(status)
"""
_TINY = [
    "--address", "local", "--hidden", "6", "--tasks", "3", "--snapshots", "0,2", "--epochs", "1",
    "--batch-size", "256", "--tickets", "2", "--rounds", "1", "--seeds", "0",
    "--shifts", "permuted_pixels", "--sparsities", "0.8", "--probe-size", "20",
    "--ntk-examples", "0", "--sharpness-iterations", "0", "--engine", "generic",
    "--max-concurrent", "1",
]  # fmt: skip


def test_only_whole_lines_and_one_picture_are_left_on_the_screen(tmp_path: Path) -> None:
    sweep = Path(__file__).parents[2] / "faults" / "sweep_alone.py"
    command = [sys.executable, "-c", _NOISY, str(sweep), *_TINY, "--storage", str(tmp_path)]
    status, written = _on_a_terminal(command)
    lines = _screen(written)
    assert status == 0, lines
    picture = [
        "━" * 50 + " 100% done",
        "             done run wait fail of",
        "streams         1   0    0    0  1",
        "probes          1   0    0    0  1",
        "measurements    3   0    0    0  3",
        "tickets         2   0    0    0  2",
        "",
        "in all, preliminary (probe gap: at the last snapshot)",
    ]
    heads = ["probe", "gap", "tickets", "-", "random"]
    start = lines.index(picture[0])
    assert lines[start : start + 8] == picture
    assert lines[start + 8].split() == heads
    assert re.fullmatch(
        r"permuted_pixels +-?0\.\d{3} +([+-]0\.\d{3})→([+-]0\.\d{3})", lines[start + 9]
    )
    noise = [line for line in lines if line.startswith("<")]
    wide = "<compiled parts of Ray write such lines, wider than the screen is>"
    assert set(noise) == {wide[:_WIDTH], "<python>", "<child>"}
    first = f"Results go to {tmp_path}."
    wrapped = {first[at : at + _WIDTH] for at in range(0, len(first), _WIDTH)}
    assert wrapped <= set(lines)
    others = set(lines) - set(noise) - {wide[_WIDTH:]} - set(lines[start : start + 10]) - wrapped
    assert others == {
        "starting or joining Ray ...",
        "checking networks ...",
        "7 runs finished",
        next(line for line in lines if line.startswith("Measuring plasticity took")),
    }


def _on_a_terminal(command: list[str], size: tuple[int, int] = (24, _WIDTH)) -> tuple[int, str]:
    """Exit status, and all that was written to a terminal of so many lines and columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    environment = {**os.environ, "TERM": "xterm", "RAY_ADDRESS": ""}
    for name in ("COLUMNS", "LINES"):
        environment.pop(name, None)
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        written += part
    os.close(ours)
    return process.wait(timeout=60), written.decode()


def _screen(written: str) -> list[str]:
    """The lines that are left on an endless screen, by the few controls that are in use."""
    lines, row, column = [""], 0, 0
    for control, code, text in re.findall(
        r"(\r|\n)|\x1b\[([\d;?]*[A-Za-z])|([^\r\n\x1b])", written
    ):
        if control == "\r":
            column = 0
        elif control == "\n":
            row += 1
        elif code == "2K":
            lines[row] = ""
        elif code == "1A":
            row -= 1
        elif text:
            if column == _WIDTH:
                row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
            lines[row] = lines[row].ljust(column)[:column] + text + lines[row][column + 1 :]
            column += 1
        lines += [""] * (row + 1 - len(lines))
    return [line.rstrip() for line in lines]


#: Shows progress, and says something.
_SAYING = """
from raylot.terminal.progress import Progress
with Progress() as progress:
    progress.count_stage("streams", 1, 0, 0)
    progress.begin_stage("streams")
    progress.note("said above the picture")
"""


def test_a_terminal_that_does_not_know_its_size_shows_all() -> None:
    status, written = _on_a_terminal([sys.executable, "-c", _SAYING], size=(0, 0))
    assert status == 0
    assert "said above the picture" in written
    assert "100% of the training done" in written


#: Says lines while the picture, which takes long to draw, changes its height.
_SAYING_MUCH = """
import random, time
from raylot.terminal.progress import Progress
class Picture:
    def __rich_console__(self, console, options):
        time.sleep(0.01)
        yield from ["picture"] * random.randint(1, 9)
progress = Progress()
progress.render = Picture
with progress:
    for _ in range(300):
        progress.note("said")
"""


def test_one_picture_is_left_when_notes_and_redrawing_meet() -> None:
    status, written = _on_a_terminal([sys.executable, "-c", _SAYING_MUCH])
    said, pictures = "\n".join(_screen(written)).rsplit("said\n", 1)
    assert status == 0
    assert "picture" not in said
    assert pictures.startswith("picture\n")


#: Writes as soon as the terminal is given back. A child holds the pipe: giving back takes longer.
_WRITING_AT_THE_END = """
import os, subprocess, threading, time
from raylot.terminal.progress import Progress
def write():
    while not os.isatty(2):
        time.sleep(0.001)
    os.write(2, b"late\\n" * 3)
with Progress() as progress:
    progress.count_stage("streams", 1, 0, 0)
    progress.begin_stage("streams")
    child = subprocess.Popen(["sleep", "3"])
    writing = threading.Thread(target=write)
    writing.start()
writing.join()
child.kill()
"""


def test_one_picture_is_left_when_others_write_at_the_end() -> None:
    status, written = _on_a_terminal([sys.executable, "-c", _WRITING_AT_THE_END])
    lines = _screen(written)
    assert status == 0
    assert sum("100% done" in line for line in lines) == 1, lines
    assert lines.count("late") == 3


#: Ends while the main thread draws for ever, as a second Ctrl-C does.
_HELD_UP = """
import os, threading
from raylot.terminal.progress import Progress
with Progress() as progress, progress._drawing:
    ending = threading.Thread(target=progress.stop)
    ending.start()
    ending.join(timeout=2)
    print("stopped at once", flush=True)
    os._exit(0)
"""

#: Fails in the last drawing.
_FAILING = """
from raylot.terminal.progress import Progress
progress = Progress()
with progress:
    progress._live.stop = lambda: 1 / 0
"""


def test_the_last_words_are_seen_even_if_the_end_cannot_draw() -> None:
    status, written = _on_a_terminal([sys.executable, "-c", _HELD_UP])
    assert (status, "stopped at once" in written) == (0, True)
    status, written = _on_a_terminal([sys.executable, "-c", _FAILING])
    assert status == 1
    assert "ZeroDivisionError" in written
