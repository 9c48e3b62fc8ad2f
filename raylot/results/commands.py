"""The commands whose runs a storage holds, and what they were run with."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import raylot
from raylot.storage import Storage
from raylot.text import safe

_FOLDER = "commands"


@dataclass(frozen=True)
class Command:
    """A command that computed something.

    Attributes:
        line: as it was given.
        raylot, python: the versions.
        first: when it was first given, as ISO 8601 in UTC.
    """

    line: str
    raylot: str
    python: str
    first: str


def record(storage: Storage, line: str) -> None:
    """Notes a command; one that is repeated with the same versions is noted once."""
    line = safe(line)
    versions = (raylot.__version__, platform.python_version())
    key = hashlib.sha256("\n".join([line, *versions]).encode()).hexdigest()[:12]
    path = f"{_FOLDER}/{key}.json"
    if not storage.exists(path):
        command = Command(line, *versions, datetime.now(UTC).isoformat(timespec="seconds"))
        storage.write(path, json.dumps(asdict(command)).encode())


def commands(storage: Storage) -> Sequence[Command]:
    """All that were noted, the first first; those that cannot be read are left out."""
    found = []
    for name in storage.names(_FOLDER):
        try:
            command = Command(**json.loads(storage.read(f"{_FOLDER}/{name}") or b""))
        except (ValueError, TypeError):
            continue
        if all(isinstance(value, str) for value in asdict(command).values()):
            found.append(command)
    return sorted(found, key=lambda command: command.first)
