"""What a worker process tells of the run it is at: in its title, and in its log.

An actor is reused for run after run, while Ray asks only once, when it is created, what it is
called. So ``ray list actors`` can say of which kind a trial is; the rest is told here.
"""

from __future__ import annotations

from datetime import UTC, datetime

import ray


def set_title(label: str) -> None:
    """Names this process, if it is an actor's, until the end of the method that Ray has called.

    ``top`` and Ray's dashboard show it.
    """
    if ray.is_initialized() and ray.get_runtime_context().get_actor_id():
        ray._raylet.setproctitle(f"ray::{label}")  # type: ignore[attr-defined]


def log(line: str) -> None:
    """A line with the time, in UTC, to standard output: Ray keeps it in the worker's log."""
    print(f"{datetime.now(UTC).isoformat(sep=' ', timespec='seconds')} {line}", flush=True)
