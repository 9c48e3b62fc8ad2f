"""Runs the analyses of a storage, and skips one if nothing has changed since it ran last.

An analysis depends on the data in the storage, on the code, and on what it wrote itself. The
record of its last run lies beside what it wrote, as ``analysis/.NAME.json``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from rich.text import Text

from raylot import results
from raylot.foundation.text import safe
from raylot.foundation.version import VERSION
from raylot.results.integrity import inspect
from raylot.storage import Storage

_WRITTEN = "analysis"

#: Where an analysis begins to say what all of it comes to: its last words, if it has an answer.
_ANSWER = re.compile(r"^Answer\b.*:", re.MULTILINE)


def data_fingerprint(storage: Storage) -> str:
    """A short text that changes if the data in a storage does.

    A row of ``runs`` holds the digests of all that its ended run wrote, so these rows stand for
    all rows of ended runs, in whichever files they lie: compaction changes nothing. Damaged and
    missing ones are told one by one, and other files by their sizes and times.
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


def run_analysis(script: Path, storage: Storage, data: str) -> bool:
    """Runs an analysis, or repeats what it said in the end if nothing has changed since then.

    Args:
        script: in ``analysis/``, called with the storage alone.
        storage: what it reads, and where it writes.
        data: the storage's `data_fingerprint`.

    Returns:
        Whether it ended well.
    """
    record = f"{_WRITTEN}/.{script.stem}.json"
    folders = (script.parent, Path(__file__).parents[1])
    code = [[str(file), *_version(file)] for folder in folders for file in _code(folder)]
    inputs = _digest([VERSION, script.name, storage.root, code, data])
    if (said := _said_before(storage, record, inputs)) is not None:
        print(f"unchanged  {script.name}: nothing that it reads has changed since it ended with:")
        print(said, flush=True)
        return True
    before = storage.versions(_WRITTEN)
    status, said = _run(script, storage)
    if status == 0:
        now = storage.versions(_WRITTEN)
        outputs = {path: version for path, version in now.items() if before.get(path) != version}
        contents = {"inputs": inputs, "outputs": outputs, "said": _in_the_end(said)}
        storage.write(record, json.dumps(contents).encode())
    return status == 0


def _in_the_end(said: str) -> str:
    """An analysis's answer and where the rest lies; its last line if it has no answer."""
    if found := _ANSWER.search(said):
        return said[found.start() :].rstrip()
    return said.rstrip().rpartition("\n")[2]


def _digest(values: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _code(folder: Path) -> Iterator[Path]:
    files = (file for file in folder.rglob("*") if "__pycache__" not in file.parts)
    return (file for file in sorted(files) if file.is_file())


def _version(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_size, found.st_mtime_ns


def _said_before(storage: Storage, record: str, inputs: str) -> str | None:
    """Returns how the last run's output ended, or None if the analysis must run again."""
    try:
        last = json.loads(storage.read(record) or b"")
        is_same = last["inputs"] == inputs
        outputs, said = dict(last["outputs"]), str(last["said"])
    except (ValueError, TypeError, KeyError):  # there is none, or it was damaged
        return None
    now = storage.versions(_WRITTEN) if is_same else {}
    is_same &= all(now.get(path) == version for path, version in outputs.items())
    return safe(said) if is_same else None  # anybody may be the author of this file


def _run(script: Path, storage: Storage) -> tuple[int, str]:
    """Runs a script with the storage: its exit status, and what it printed, as plain text."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}  # each line as soon as it is printed
    if sys.stdout.isatty():  # the script itself sees a pipe
        environment.setdefault("FORCE_COLOR", "1")
        environment["COLUMNS"] = str(shutil.get_terminal_size().columns)
    process = subprocess.Popen(
        [sys.executable, str(script), storage.root],
        stdout=subprocess.PIPE, text=True, errors="backslashreplace", bufsize=1, env=environment,
        process_group=0,  # which Ctrl-C does not reach: this process ends it
    )  # fmt: skip
    lines = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
        status = process.wait()
    except BaseException:
        process.kill()
        raise
    finally:
        process.wait()
    return status, Text.from_ansi("".join(lines)).plain
