"""The cores that this process may use."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Returns how many cores there are that no job scheduler has granted to others alone."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1
