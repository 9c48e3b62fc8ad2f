"""The cores that this process may use."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Returns how many cores this process may use: those that no job scheduler keeps for others."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1
