"""Printing any text on any terminal."""

from __future__ import annotations

import io
import sys


def print_any_text() -> None:
    r"""Escapes what standard output cannot show: ``ü`` in a path becomes ``\xfc`` where the
    terminal is ASCII, instead of ending the command. Python does so on standard error by itself."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
