"""Finds mistakes in the paths and URIs that users type, and reads the files that they name."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path

#: The URIs that a storage may have.
URI_SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs", "file")

_WITH_BUCKETS = ("s3", "gs", "gcs", "abfs", "abfss")

#: Schemes of this machine's own files.
_LOCAL_SCHEMES = ("file", "local")

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)")
_VARIABLE = re.compile(r"\$\w+|\$\{\w*\}?|%\w+%")


def scheme_of(text: str) -> tuple[str, str] | None:
    """Splits a URI, as into ``("s3", "bucket/folder")``, also one that lacks slashes.

    Returns:
        None for a path.
    """
    found = _SCHEME.fullmatch(text)
    return None if found is None else (found[1], found[2].removeprefix("/").removeprefix("/"))


def is_uri(text: str) -> bool:
    """Whether a text is ``scheme://...`` rather than a path."""
    return _URI.fullmatch(text) is not None


def why_refused(text: str, *, with_uris: bool = True) -> str | None:
    """Returns why a text cannot be the folder or URI that the user means, and what to write.

    Otherwise half a URI, or a variable that no shell has replaced, would become a folder of that
    name in the working directory.

    Args:
        text: what the user typed.
        with_uris: whether a URI is accepted.

    Returns:
        None if the text can be right.
    """
    if text.startswith("/") and os.path.isdir(text):  # noqa: PTH112 - it never raises
        return None
    if not text.strip():
        return "it is empty"
    if text != text.strip():
        return "it begins or ends with a space"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "this Python reads names as ASCII only: set PYTHONUTF8=1"
    if not text.isprintable():
        return "it has characters that cannot be printed"
    if variable := _VARIABLE.search(text):
        return f"nothing replaces {variable[0]} here; write what it stands for"
    if uri := _URI.fullmatch(text):
        return _why_uri_refused(uri[1], uri[2], with_uris)
    if "\\" in text:
        return "folders are separated by / here, as in /data/results"
    if scheme := _SCHEME.fullmatch(text):
        return _why_scheme_refused(scheme[1], scheme[2], with_uris)
    if "://" in text:
        return f"a URI begins with one of {', '.join(URI_SCHEMES)}"
    return None


def _why_uri_refused(scheme: str, rest: str, with_uris: bool) -> str | None:
    if not with_uris or scheme.lower() == "local":
        is_path = scheme.lower() in _LOCAL_SCHEMES and rest.startswith("/")
        return f"write /{rest.lstrip('/')}" if is_path else "it must be a folder of this machine"
    if scheme.lower() not in URI_SCHEMES:
        return f"a URI begins with one of {', '.join(URI_SCHEMES)}"
    if scheme not in URI_SCHEMES:
        return f"write {scheme.lower()}://{rest}"
    if scheme == "file" and not rest.startswith("/"):
        return "a file's URI begins with three slashes, as in file:///data/results"
    if scheme in _WITH_BUCKETS and rest.startswith("/"):
        return f"it names no bucket; write {scheme}://BUCKET/FOLDER"
    parts = rest.partition("?")[0].strip("/").split("/")
    if any(part in ("", ".", "..") for part in parts[1:]):
        return "no folder in a URI may be empty, . or .."
    return None


def _why_scheme_refused(scheme: str, rest: str, with_uris: bool) -> str:
    if len(scheme) == 1:
        return "a drive of Windows is none here; write a folder as /data/results"
    if scheme.lower() in _LOCAL_SCHEMES:
        return f"write {rest or '/'}"
    if scheme.lower() in URI_SCHEMES:
        if not with_uris:
            return "it must be a folder of this machine"
        return f"write {scheme.lower()}://{rest.lstrip('/')}"
    return f"write ./{scheme}:{rest} for a folder of that name"


def read_regular(path: str | Path) -> bytes:
    """Reads a file; ``~`` in its path stands for a home directory.

    Raises:
        OSError: the file cannot be read, or is not a regular file: reading a pipe might never end.
    """
    file = Path(os.path.expanduser(path))  # noqa: PTH111 - it lets an unknown user's path be
    if not stat.S_ISREG(file.stat().st_mode):
        raise OSError(errno.EINVAL, "it is a folder, a pipe, a device or a socket, and no file")
    return file.read_bytes()
