"""Runs the analyses of a storage, and skips one if nothing has changed since it ran last.

What an analysis depends on is told by the names, sizes and times of files: of the tables and of
what else it reads in the storage, of the code, and of what it wrote. The record of a run lies
beside what it wrote, as ``analysis/.NAME.json``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyarrow import fs
from rich.text import Text

import raylot
from raylot.storage import Storage
from raylot.text import safe

#: Folders of a storage that analyses read.
_READ = ("tables", "commands", "state")

_WRITTEN = "analysis"

#: Name of a file -> its size and when it was changed.
_Versions = dict[str, list[Any]]


def run_analysis(script: Path, storage: Storage) -> bool:
    """Runs an analysis, or says again what it said last if that would come out the same.

    Args:
        script: in ``analysis/``, called with the storage alone.
        storage: what it reads, and where it writes.

    Returns:
        Whether it ended well.
    """
    record = f"{_WRITTEN}/.{script.stem}.json"
    inputs = _fingerprint(script, storage)
    if (said := _said_before(storage, record, inputs)) is not None:
        print(f"unchanged  {script.name}: nothing that it reads has changed since it said:")
        print(said, end="", flush=True)
        return True
    before = _versions(storage, _WRITTEN)
    status, said = _run(script, storage)
    if status == 0:
        now = _versions(storage, _WRITTEN)
        outputs = {path: version for path, version in now.items() if before.get(path) != version}
        contents = {"inputs": inputs, "outputs": outputs, "said": said}
        storage.write(record, json.dumps(contents).encode())
    return status == 0


def _fingerprint(script: Path, storage: Storage) -> str:
    """What an analysis depends on, as a short text."""
    folders = (script.parent, Path(raylot.__file__).parent)
    code = [[str(file), *_version(file)] for folder in folders for file in _code(folder)]
    read = [_versions(storage, folder) for folder in _READ]
    told = [raylot.__version__, script.name, storage.root, code, read]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _code(folder: Path) -> Iterator[Path]:
    files = (file for file in folder.rglob("*") if "__pycache__" not in file.parts)
    return (file for file in sorted(files) if file.is_file())


def _version(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_size, found.st_mtime_ns


def _versions(storage: Storage, folder: str) -> _Versions:
    """The files in a folder and the folders in it, without hidden ones."""
    selector = fs.FileSelector(storage.path(folder), allow_not_found=True, recursive=True)
    return {
        info.path: [info.size, info.mtime_ns]
        for info in storage.filesystem.get_file_info(selector)
        if info.is_file and not info.base_name.startswith(".")
    }


def _said_before(storage: Storage, record: str, inputs: str) -> str | None:
    """What the analysis said when it ran last; None if it has to run again."""
    try:
        last = json.loads(storage.read(record) or b"")
        is_same = last["inputs"] == inputs
        outputs, said = dict(last["outputs"]), str(last["said"])
    except (ValueError, TypeError, KeyError):  # there is none, or it was damaged
        return None
    now = _versions(storage, _WRITTEN) if is_same else {}
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
