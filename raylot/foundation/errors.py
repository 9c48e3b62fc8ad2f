"""The error for a user's mistake, and how messages show values."""

from __future__ import annotations

import reprlib
from typing import Any

from raylot.foundation.text import safe

#: Characters of a message, and of a value in it, that are kept.
_LONGEST_MESSAGE, _LONGEST_VALUE = 2500, 200

_containers = reprlib.Repr()
_containers.maxlist = _containers.maxtuple = _containers.maxdict = 20


class OptionError(ValueError):
    """A user's mistake, in one line: the option, the value given and what is accepted.

    The line is safe to print (see `raylot.foundation.text`) and not too long.
    """

    def __init__(self, message: str) -> None:
        line = safe(" ".join(message.splitlines()))
        if len(line) > _LONGEST_MESSAGE:
            half = _LONGEST_MESSAGE // 2
            line = f"{line[:half]} ... {line[-half:]}"
        super().__init__(line)


def shown(value: Any) -> str:
    """Returns a value as messages show it: as the user gave it, but cut to a line."""
    is_container = isinstance(value, list | tuple | dict | set)
    try:
        text = _containers.repr(value) if is_container else str(value)
    except ValueError:  # Python writes no whole numbers of thousands of digits
        return "a huge int"
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
