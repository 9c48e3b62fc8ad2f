"""Runs the analyses of a storage; a study skips one if nothing has changed since it ran last.

An analysis depends on the data in the storage, on the code, and on what it wrote itself. The
record of its last run lies beside what it wrote, as ``analysis/.NAME.json``.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TextIO

from rich.text import Text

from raylot import results
from raylot.analysis.command import status_of
from raylot.config.options import did_you_mean
from raylot.config.parser import OneLineParser
from raylot.foundation.errors import OptionError, shown
from raylot.foundation.text import safe
from raylot.foundation.version import VERSION
from raylot.results.integrity import inspect
from raylot.storage import Storage

#: Analysis -> the module whose ``main`` runs it, with the words of a command line.
ANALYSES = {
    "correlation": "raylot.analysis.correlation",
    "figures": "raylot.analysis.figures.figures",
    "report": "raylot.analysis.report.report",
    "ticket_plasticity": "raylot.analysis.ticket_plasticity",
    "plastic_parameters": "raylot.analysis.plastic_parameters",
    "dose_response": "raylot.analysis.dose_response",
    "best_settings": "raylot.analysis.best_settings",
    "reproduction": "raylot.analysis.reproduction",
}

_WRITTEN = "analysis"

#: The folder of the library: if any file of it changes, analyses run again.
_PACKAGE = Path(results.__file__).parents[1]

#: The line with which an analysis's answer begins, the last thing that it prints.
_ANSWER = re.compile(r"^Answer\b.*:", re.MULTILINE)


def analyse(words: Sequence[str]) -> None:
    """Runs ``raylot analyse``: always, whether anything has changed or not."""
    if words and (name := words[0].replace("-", "_")) in ANALYSES:
        main_of(name)(words[1:])
        return
    if len(words) > 1 and not words[0].startswith("-") and not words[1].startswith("-"):
        hint = did_you_mean(words[0], ANALYSES) or f"accepted: {', '.join(ANALYSES)}"
        raise OptionError(f"{shown(words[0])}: unknown analysis; {hint}")
    parser = OneLineParser(
        description="Draws the figures of a storage and correlates its tables; the answer in words "
        "comes last. With an ANALYSIS, runs that one alone, with options of its own.",
        usage="%(prog)s [ANALYSIS] STORAGE",
        epilog=f"ANALYSIS is one of {', '.join(ANALYSES)}; ANALYSIS --help lists its options.",
    )
    parser.add_argument("storage", metavar="STORAGE", help="folder or URI, as given to the sweep")
    root = parser.parse_args(words).storage
    main_of("figures")([root])
    print(flush=True)
    main_of("correlation")([root])


def report(words: Sequence[str]) -> None:
    """Runs ``raylot report``: always, whether anything has changed or not."""
    main_of("report")(words)


def main_of(name: str) -> Callable[[Sequence[str]], None]:
    """Returns the main function of one of `ANALYSES`."""
    main: Callable[[Sequence[str]], None] = importlib.import_module(ANALYSES[name]).main
    return main


def data_fingerprint(storage: Storage) -> str:
    """A short text that changes if the data in a storage does.

    A row of ``runs`` holds the digests of all that its run wrote, so these rows stand for all
    tables of ended runs, and compaction changes nothing. Damages are added one by one, and other
    files with their sizes and times.
    """
    runs = results.read(storage, "runs").sort_values("run_id")
    ended = set(runs["run_id"])
    files = storage.versions("tables") | storage.versions("commands") | storage.versions("state")
    others = {
        path: version
        for path, version in files.items()
        if "/compacted/" not in path and PurePosixPath(path).stem not in ended
    }
    damages = [str(damage) for damage in inspect(storage).damages]
    return _digest([runs.to_csv(index=False), others, damages])


def run_analysis(name: str, storage: Storage, data: str) -> bool:
    """Runs an analysis, or repeats what it said in the end if nothing has changed since then.

    Args:
        name: see `ANALYSES`.
        storage: what the analysis reads, and where it writes.
        data: the storage's `data_fingerprint`.

    Returns:
        Whether it ended well. If not, it has said why.
    """
    record = f"{_WRITTEN}/.{name}.json"
    files = sorted(file for file in _PACKAGE.rglob("*") if file.is_file())
    files = [file for file in files if "__pycache__" not in file.parts]
    code = [[str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    inputs = _digest([VERSION, name, storage.root, code, data])
    if (said := _said_before(storage, record, inputs)) is not None:
        print(f"unchanged  {name}: nothing that it reads has changed since it ended with:")
        print(said, flush=True)
        return True
    before = storage.versions(_WRITTEN)
    with contextlib.redirect_stdout(_Copied(sys.stdout)) as printed:
        try:
            status = status_of(lambda: main_of(name)([storage.root]))
        except Exception:  # a mistake of ours, after which the sweep's results are still whole
            traceback.print_exc()
            return False
    if status == 0:
        now = storage.versions(_WRITTEN)
        outputs = {path: version for path, version in now.items() if before.get(path) != version}
        contents = {"inputs": inputs, "outputs": outputs, "said": _in_the_end(printed.text)}
        storage.write(record, json.dumps(contents).encode())
    return status == 0


class _Copied:
    """A stream that keeps a copy of its text, and writes at once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._written: list[str] = []

    def write(self, text: str) -> int:
        self._written.append(text)
        count = self._stream.write(text)
        self._stream.flush()
        return count

    @property
    def text(self) -> str:
        """All of it, as plain text."""
        return Text.from_ansi("".join(self._written)).plain

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _in_the_end(said: str) -> str:
    """The end of what an analysis said: from its answer on, or the last line if it has none."""
    said, answer = said.rstrip(), _ANSWER.search(said)
    return said[answer.start() :] if answer else said.rpartition("\n")[2]


def _digest(values: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _said_before(storage: Storage, record: str, inputs: str) -> str | None:
    """Returns how the last run's output ended, or None if the analysis must run again."""
    try:
        last = json.loads(storage.read(record) or b"")
        inputs_then, outputs, said = last["inputs"], last["outputs"].items(), str(last["said"])
    except (ValueError, TypeError, KeyError, AttributeError):  # the record is missing or damaged
        return None
    is_same = inputs_then == inputs and outputs <= storage.versions(_WRITTEN).items()
    return safe(said) if is_same else None  # anybody may have written the record
