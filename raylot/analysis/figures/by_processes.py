"""Draws figures in several processes, as each takes a core some tenths of a second.

Parent and children are one program, and send pickles through pipes; none is read from a file.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from matplotlib.figure import Figure

from raylot.analysis.figures import style
from raylot.analysis.figures.material import NothingToDrawError
from raylot.foundation.cores import usable_cores

Drawing = Callable[[], Figure]

#: A figure's file ending -> contents, or why it cannot be drawn.
Drawn = dict[str, bytes] | str

#: Figures that take as long as a process needs to start.
_WORTH_A_PROCESS = 6

#: Processes, each of which holds what its figures show.
_MOST_PROCESSES = 8

#: Bytes of what figures show; with more, one process draws all, for the sake of memory.
_MOST_BYTES = 100_000_000

_CHILD = f"from {__name__} import _draw_for_parent; _draw_for_parent()"


def drawn_by_processes(drawings: Sequence[Drawing]) -> list[Drawn]:
    """Draws figures, with one process per core if there are enough of them; keeps their order."""
    number = min(usable_cores(), _MOST_PROCESSES, len(drawings) // _WORTH_A_PROCESS)
    shares = [list(drawings[first::number]) for first in range(number)] or [list(drawings)]
    own, *others = shares
    pickled = []
    for share in others:
        pickled.append(pickle.dumps(share))
        if sum(map(len, pickled)) > _MOST_BYTES:
            return list(_drawn(drawings))
    with ThreadPoolExecutor(len(others) or 1) as threads, _children(len(others)) as children:
        answers = threads.map(_answer, children, pickled)
        drawn = [list(_drawn(own)), *answers]
    return [drawn[index % len(shares)][index // len(shares)] for index in range(len(drawings))]


@contextlib.contextmanager
def _children(number: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    # They must find this raylot, and no folder of that name where the user stands.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    children = [
        subprocess.Popen(
            [sys.executable, "-P", "-c", _CHILD],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
        )
        for _ in range(number)
    ]  # fmt: skip
    try:
        yield children
    except BaseException:
        for child in children:
            child.kill()
        raise


def _answer(child: subprocess.Popen[bytes], share: bytes) -> list[Drawn]:
    answer, said = child.communicate(share)
    if child.returncode:
        raise RuntimeError(f"a process that drew figures failed: {said.decode(errors='replace')}")
    stream = io.BytesIO(answer)
    drawn: list[Drawn] = []
    while stream.tell() < len(answer):
        drawn.append(pickle.load(stream))
    return drawn


def _draw_for_parent() -> None:
    """Draws what the parent process sends, and sends each figure back; without a parent, the next
    one that is to be sent ends this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    drawings = pickle.load(sys.stdin.buffer)
    for drawn in _drawn(drawings):
        pickle.dump(drawn, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def _drawn(drawings: Sequence[Drawing]) -> Iterator[Drawn]:
    for draw in drawings:
        try:
            with style.applied():
                yield style.encoded(draw())
        except NothingToDrawError as missing:
            yield str(missing)
