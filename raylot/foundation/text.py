"""Makes any text safe to print or store: without secrets, and harmless to a terminal.

Use it for every text that raylot did not write itself: errors of plugins and object stores, paths,
host names, rows of other people's tables.
"""

from __future__ import annotations

import io
import os
import re
import sys
import traceback
from urllib.parse import quote, unquote

#: User and password in a URI, up to the last ``@``. Some people write ``/`` or ``#`` in a password,
#: so these may follow the colon; but digits that end in ``/``, ``?`` or ``#`` are a port.
_USER_INFO = re.compile(
    r"""://(?:[^\s/?#'"]{1,500}|[^\s/@:'"]{0,500}:(?![0-9]+[/?#])[^\s'"]{1,500})@"""
)
_PASSWORD = re.compile(r"://[^\s/@:]*:(.+)@")

#: Names whose values are secrets, whatever these look like: ``password``, ``AWS_SESSION_TOKEN``.
_WORD = r"(?:secret|token|passw(?:or)?d|passphrase|credential|signature)"
_SURE = rf"[\w-]*{_WORD}(?:[_-]?(?:key|id))*"
#: Names whose values are secrets unless they are numbers: ``api_key``, ``AccountKey``, ``DB_PASS``.
_LIKELY = (
    r"(?:[\w-]*(?:[_-]|(?-i:[a-z](?=K))|api|access|account|private)key(?:[_-]?id)?"
    r"|(?:[\w-]*[_-])?(?:sig|pwd|pass))"
)
_NAME = rf"(?:{_SURE}|{_LIKELY})"
_IS_SURE = re.compile(_SURE, re.IGNORECASE)
_VARIABLE = re.compile(_NAME, re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?[\d.]+(?:e[+-]?\d+)?", re.IGNORECASE)

# A name begins where a word begins, and nowhere else. Otherwise the time for a long text would
# grow with the square of its length.
_BEGIN = r"(?<![\w-])"
_QUOTED = r"""(?P<quote>['"])(?:\\.|(?!(?P=quote))[^\\])*(?P=quote)"""
_BARE = r"""['"]?[^\s'"&;,)\]}]+"""

#: ``password=x``, ``"password": x``, ``x-auth-token: x``.
_ASSIGNED = re.compile(
    rf"(?P<before>{_BEGIN}(?P<name>{_NAME})\s?=\s?"
    rf"""|{_BEGIN}(?P<around>['"])(?P<quoted>{_NAME})(?P=around)\s?:\s?"""
    rf"|{_BEGIN}(?=\w+[_-])(?P<compound>{_NAME}):\s?)(?:{_QUOTED}|{_BARE})",
    re.IGNORECASE | re.DOTALL,
)
#: ``password: x``. In a sentence, as "no password: the token is missing", more words follow.
_LISTED = re.compile(
    rf"(?P<before>{_BEGIN}\w*{_WORD}:[ ])(?:{_QUOTED}|{_BARE}"
    r"(?=[ ]*(?:$|[\n&;,)\]}])|[ ][\w-]{1,50}[ ]?[:=]))",
    re.IGNORECASE | re.DOTALL,
)
#: ``Authorization: x``, ``Authorization: Bearer x``, ``Bearer x``.
_AUTHORIZATION = re.compile(
    r"""(authorization['"]?\s?[:=]\s?['"]?(?:[a-z][\w-]{0,30}\s+)?)[^\s'",;]+"""
    r"|((?<!\w)(?:Bearer|Basic)\s+)[\w.~+/=-]{8,}",
    re.IGNORECASE,
)

#: Shorter values of variables are not masked: they occur in ordinary words.
_SHORTEST_SECRET = 8


def safe(text: str) -> str:
    """Replaces secrets in a text by ``***``, and escapes control characters; lines stay lines.

    Secrets are:

    - user and password in a URI;
    - the value after ``=``, or after a quoted name and ``:``, if the name ends in ``password``,
      ``secret``, ``token``, ``credential``, ``signature``, ``_key``, ``_pass`` or the like; after
      ``:`` without quotes, if the name has several parts (``x-auth-token: a``) or the value ends
      the line or the item (``password: a``); a number only after the first five;
    - what follows ``Authorization:``, ``Bearer`` or ``Basic``;
    - values of this process's environment variables with such names, and passwords in URIs there,
      anywhere in the text, if they have eight characters or more.
    """
    return _printable(_masked(text))


def one_line(text: object, longest: int | None = None) -> str:
    """Returns the text of anything, such as an error, as one `safe` line.

    Args:
        text: any object; its ``__str__`` may fail.
        longest: how many characters to keep. The last ones stay: the end of an error says what
            happened.
    """
    try:
        given = str(text)
    except Exception as error:
        given = f"(its text cannot be had: {type(error).__name__})"
    line = _printable(" ".join(_masked(given).split()))  # a secret may have several lines
    return line if longest is None or len(line) <= longest else f"... {line[-longest:]}"


def is_exit_request(error: BaseException) -> bool:
    """Whether an exception means that this process must end: Ctrl-C, or Ray ends its worker.

    Ray raises SystemExit in a worker that gets a SIGTERM. If a plugin calls sys.exit, that is an
    error like any other.
    """
    if not isinstance(error, SystemExit):
        return isinstance(error, KeyboardInterrupt)
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(frames) and str(frames[-1].f_globals.get("__name__")).split(".")[0] == "ray"


def _masked(text: str) -> str:
    for secret in _secrets():
        text = text.replace(secret, "***")
    text = _USER_INFO.sub("://***@", text)
    text = _AUTHORIZATION.sub(lambda found: f"{found[1] or found[2]}***", text)
    return _LISTED.sub(_without_value, _ASSIGNED.sub(_without_value, text))


def _without_value(found: re.Match[str]) -> str:
    """Returns a name with ``***`` as its value, in quotation marks if the value had them."""
    parts = found.groupdict()
    name = parts.get("name") or parts.get("quoted") or parts.get("compound")
    value = found[0].removeprefix(parts["before"])
    if name and not _IS_SURE.fullmatch(name) and _NUMBER.fullmatch(value):
        return found[0]
    quote = parts["quote"] or ""
    return f"{parts['before']}{quote}***{quote}"


def _secrets() -> list[str]:
    """Returns the secrets in the environment, the longest first: one may be part of another."""
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


def say_progress(line: str) -> None:
    """Prints a line on standard error at once: standard output is for results."""
    print(safe(line), file=sys.stderr, flush=True)


def escape_unencodable_output() -> None:
    r"""Makes standard output escape what it cannot encode, instead of raising an error.

    On an ASCII terminal ``ü`` in a path becomes ``\xfc``. Python's standard error does so already.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
