"""Text that is printed or stored: in one line, without secrets, and safe for a terminal.

All that raylot shows or keeps and did not write itself goes through here: errors of plugins and
object stores, paths, names of hosts, rows of other people's tables.
"""

from __future__ import annotations

import os
import re
import traceback
from urllib.parse import quote, unquote

#: User and password in a URI. People also write passwords with ``/`` or ``#`` in them: then what
#: lies between the colon and the last ``@`` is taken for one, unless it begins as a port does.
_USER_INFO = re.compile(
    r"""://(?:[^\s/?#'"]{1,500}|[^\s/@:'"]{0,500}:(?![0-9]+[/?#])[^\s'"]{1,500})@"""
)
_PASSWORD = re.compile(r"://[^\s/@:]*:(.+)@")

#: Names of options, query parameters and environment variables that hold secrets.
_NAME = (
    r"(?:[\w-]*(?:secret|token|passw(?:or)?d|passphrase|credential|signature)(?:[_-]?(?:key|id))*"
    r"|[\w-]+key(?:[_-]?id)?"
    r"|(?:[\w-]*[_-])?(?:sig|pwd|pass))"
)
_VARIABLE = re.compile(_NAME, re.IGNORECASE)

#: ``password=...``, ``"password": ...``. A match begins where a word does, and nowhere else: the
#: time for a long text must not grow with the square of its length.
_ASSIGNED = re.compile(
    rf"""((?<![\w-]){_NAME}\s?=\s?|(?<![\w-])(['"]){_NAME}\2\s?:\s?)"""
    r"""(?:(['"])(?:\\.|(?!\3)[^\\])*\3|['"]?[^\s'"&;,)\]}]+)""",
    re.IGNORECASE | re.DOTALL,
)
_AUTHORIZATION = re.compile(r"(?<!\w)(Bearer|Basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE)

#: Shorter values of variables are left alone: they would be found in ordinary words.
_SHORTEST_SECRET = 8


def safe(text: str) -> str:
    """A text of any number of lines with secrets as ``***`` and control characters escaped.

    Secrets are: users and passwords in URIs, values after names such as ``password=``, and of
    this process's environment the values of variables with such names, and passwords in URIs.
    """
    return _printable(_masked(text))


def one_line(text: object, longest: int | None = None) -> str:
    """Anything that has a text, such as an error, as one `safe` line.

    Args:
        text: also an object whose ``__str__`` fails.
        longest: characters that are kept; the last ones, as an error's end says what happened.
    """
    try:
        given = str(text)
    except BaseException as error:  # a plugin's error may raise any
        if ends_process(error):
            raise
        given = f"(its text cannot be had: {type(error).__name__})"
    line = _printable(" ".join(_masked(given).split()))  # a secret may have several lines
    return line if longest is None or len(line) <= longest else f"... {line[-longest:]}"


def ends_process(error: BaseException) -> bool:
    """Whether an exception must go on, wherever it came up: Ctrl-C, or Ray ending its worker.

    Ray raises SystemExit in a worker that gets a SIGTERM. A plugin's own call of sys.exit is an
    error like any other.
    """
    if not isinstance(error, SystemExit):
        return isinstance(error, KeyboardInterrupt)
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(frames) and str(frames[-1].f_globals.get("__name__")).split(".")[0] == "ray"


def holds_secret(text: str) -> bool:
    """Whether a text gives a value to a name such as ``password=``."""
    return _ASSIGNED.search(text) is not None


def _masked(text: str) -> str:
    for secret in _secrets():
        text = text.replace(secret, "***")
    text = _USER_INFO.sub("://***@", text)
    text = _ASSIGNED.sub(lambda found: f"{found[1]}{found[3] or ''}***{found[3] or ''}", text)
    return _AUTHORIZATION.sub(r"\1 ***", text)


def _secrets() -> list[str]:
    """Those in this process's environment; the longest first, as one may be part of another."""
    found = set()
    for name, value in os.environ.items():
        values = _PASSWORD.findall(value)
        is_folder = name in ("PWD", "OLDPWD")  # where shells keep the working directory
        if _VARIABLE.fullmatch(name) and not is_folder:
            values.append(value)
        for each in values:
            found |= {each, quote(each, safe=""), unquote(each)}
    return sorted((each for each in found if len(each) >= _SHORTEST_SECRET), key=len, reverse=True)


def _printable(text: str) -> str:
    lines = text.split("\n")
    return "\n".join(line if line.isprintable() else "".join(map(_escaped, line)) for line in lines)


def _escaped(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]
