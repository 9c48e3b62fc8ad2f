"""Printing any text on any terminal."""

from __future__ import annotations

import io
import sys


def print_any_text() -> None:
    r"""Makes standard output escape what it cannot encode, instead of raising an error.

    On an ASCII terminal ``ü`` in a path becomes ``\xfc``. Python's standard error does so already.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
