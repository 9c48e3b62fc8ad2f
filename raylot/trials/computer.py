"""What computes a run: the machine, and the state of raylot's code."""

from __future__ import annotations

import functools
import os
import platform
import socket
from pathlib import Path
from typing import Any

from raylot.foundation import version
from raylot.foundation.git import commit_of


@functools.cache
def computer() -> dict[str, Any]:
    """Returns columns of ``runs``, as they were when this process first asked."""
    return {
        "raylot_commit": commit_of(Path(version.__file__)),
        "host": socket.gethostname(),
        "cpu_model": _cpu_model(),
        "cpu_threads": os.cpu_count(),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()
