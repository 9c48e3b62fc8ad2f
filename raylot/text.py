"""Text that is printed or stored: in one line, without secrets, and safe for a terminal.

All that raylot shows or keeps and did not write itself goes through here: errors of plugins and
object stores, paths, names of hosts, rows of other people's tables.
"""

from __future__ import annotations

import os
import re

#: Between these, credentials stand in a URI.
_USER_INFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^\s/?#'\"]*@")

#: Names of options, query parameters and environment variables that hold secrets.
_NAME = (
    r"[\w-]*(?:secret|token|passw(?:or)?d|credential|signature|"
    r"(?:api|access|account|secret)_?key)(?:_id)?"
)
_NAMED = re.compile(rf"(\b{_NAME}\s?=\s?['\"]?)[^\s'\"&;,)]+", re.IGNORECASE)
_VARIABLE = re.compile(_NAME, re.IGNORECASE)

#: Variables whose names look like a secret's and that hold where it lies, or how it is used.
_NO_SECRET = re.compile("(PATH|FILE|DIR|MODE|URI|URL|ENDPOINT|TIMEOUT|LIMIT)$", re.IGNORECASE)

#: Shorter values of such variables are left alone: they would be found in ordinary words.
_SHORTEST_SECRET = 8


def safe(text: str) -> str:
    """A text of any number of lines with secrets as ``***`` and control characters escaped.

    Secrets are: users and passwords in URIs, values after names such as ``password=``, and values
    of this process's environment variables with such names.
    """
    text = _USER_INFO.sub(r"\1***@", text)
    text = _NAMED.sub(r"\1***", text)
    for name, value in os.environ.items():
        is_secret = _VARIABLE.fullmatch(name) and not _NO_SECRET.search(name)
        if is_secret and len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, "***")
    return "\n".join("".join(map(_printable, line)) for line in text.split("\n"))


def one_line(text: object, longest: int | None = None) -> str:
    """Anything that has a text, such as an error, as one `safe` line.

    Args:
        text: also an object whose ``__str__`` fails.
        longest: characters that are kept; the last ones, as an error's end says what happened.
    """
    try:
        line = str(text)
    except Exception as error:
        line = f"(its text cannot be had: {type(error).__name__})"
    line = safe(" ".join(line.split()))
    return line if longest is None or len(line) <= longest else f"... {line[-longest:]}"


def _printable(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]
