"""Takes the lines about slow steps, which commands say on standard error, out of its text."""

from __future__ import annotations

#: Said before a mistake is found, if it takes torch and Ray to find it.
_OF_CHECKS = ("starting or joining Ray ...\n", "checking networks ...\n")


def without_progress(told: str) -> str:
    """Returns standard error without the lines that tell of slow checks."""
    return "".join(line for line in told.splitlines(keepends=True) if line not in _OF_CHECKS)
