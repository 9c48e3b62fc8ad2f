"""The memory that this process may use."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

#: Where Linux says how much memory a container may use, in its two versions of control groups.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory(limits: tuple[str, ...] = _LIMITS) -> int:
    """Returns the machine's memory in bytes, or the container's if that has less."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for limit in limits:
        with suppress(OSError, ValueError):  # there is none, or it is "max"
            found.append(int(Path(limit).read_text()))
    return min(found)
