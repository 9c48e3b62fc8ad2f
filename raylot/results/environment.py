"""The packages of the process that started a sweep, in the storage's ``environment.txt``."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import distributions

from raylot.foundation.text import one_line
from raylot.foundation.version import VERSION
from raylot.storage import Storage

#: The file: a part for each environment, the newest last, each begun by a line with ``#``.
ENVIRONMENT = "environment.txt"


def record_environment(storage: Storage, *, is_share: bool = False) -> None:
    """Adds this process's packages, as ``numpy==2.1.0``, unless the file's last part has them.

    The caller must hold the storage's lease.

    Args:
        storage: where.
        is_share: whether others compute further shares of the same study, perhaps with other
            packages: then it is enough if any part has them.
    """
    versions = (f"raylot {VERSION}", f"Python {platform.python_version()}", platform.platform())
    head = f"# {', '.join(versions)}"
    found: dict[str, str] = {}
    for package in distributions():  # in the order in which imports look for them
        name = one_line(package.name)
        found.setdefault(name.lower().replace("_", "-"), f"{name}=={one_line(package.version)}")
    part = [head, *sorted(found.values())]
    before = (storage.read(ENVIRONMENT) or b"").decode(errors="replace").splitlines()
    is_last = before[-len(part) :] == part
    if is_last or (is_share and "\n".join(part) in "\n".join(before)):
        return
    since = f"# since {datetime.now(UTC).isoformat(timespec='seconds')}"
    storage.write(ENVIRONMENT, "\n".join([*before, since, *part, ""]).encode())
