"""The commands that have computed a storage's runs, and with which versions."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from raylot.foundation.text import safe
from raylot.foundation.version import VERSION
from raylot.storage import Storage

_FOLDER = "commands"


@dataclass(frozen=True)
class Command:
    """A command that has computed runs.

    Attributes:
        line: the command line.
        raylot, python: the versions.
        first: when the user first gave it, as ISO 8601 in UTC.
        adds_seeds: whether it added seeds until intervals were narrow, see `raylot.sweep.seeds`.
    """

    line: str
    raylot: str
    python: str
    first: str
    adds_seeds: bool = False

    @property
    def path(self) -> str:
        adds = ["adds seeds"] * self.adds_seeds  # a configuration file decides that
        text = "\n".join([self.line, self.raylot, self.python, *adds])
        return f"{_FOLDER}/{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"


def record(storage: Storage, line: str, *, adds_seeds: bool = False) -> None:
    """Notes a command; notes it only once, however often it is repeated with the same versions."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    command = Command(safe(line), VERSION, platform.python_version(), now, adds_seeds)
    if not storage.exists(command.path):
        storage.write(command.path, json.dumps(asdict(command)).encode())


def commands(storage: Storage) -> Sequence[Command]:
    """Returns the noted commands, oldest first; leaves out those that cannot be read."""
    return sorted(filter(None, _noted(storage).values()), key=lambda command: command.first)


def unreadable(storage: Storage) -> list[str]:
    """Returns the paths of damaged records."""
    return [path for path, command in _noted(storage).items() if command is None]


def _noted(storage: Storage) -> dict[str, Command | None]:
    paths = [f"{_FOLDER}/{name}" for name in storage.names(_FOLDER)]
    return {path: _read(storage, path) for path in paths}


def _read(storage: Storage, path: str) -> Command | None:
    try:
        command = Command(**json.loads(storage.read(path) or b""))
        datetime.fromisoformat(command.first)
        return command if command.path == path else None
    except (ValueError, TypeError, RecursionError):
        return None
