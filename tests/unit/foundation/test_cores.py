"""Only the cores that this process may use count."""

from __future__ import annotations

import os

from raylot.foundation.cores import usable_cores


def test_only_cores_that_this_process_may_use_count() -> None:
    """A job scheduler may have granted the others to somebody else."""
    granted = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(granted)})
    try:
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, granted)
    assert usable_cores() == len(granted)
