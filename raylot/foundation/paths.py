"""Refuses slips in paths and URIs that users type, and reads files that they name."""

from __future__ import annotations

import errno
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
    """``("s3", "bucket/folder")`` for a URI, also for one with too few slashes; None for a path."""
    found = _SCHEME.fullmatch(text)
    return None if found is None else (found[1], found[2].removeprefix("/").removeprefix("/"))


def is_uri(text: str) -> bool:
    """Whether a text is no path, but ``scheme://...``."""
    return _URI.fullmatch(text) is not None


def why_refused(text: str, *, with_uris: bool = True) -> str | None:
    """Why a text cannot be the folder or URI that the user means, and what to write instead.

    A shell's variable that nothing has replaced, or half a URI, would otherwise become a folder of
    that name in the working directory.

    Args:
        text: as it was typed.
        with_uris: whether a URI would do.

    Returns:
        None if there is nothing to say against it.
    """
    if _is_whole_path_of_folder(text):
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
        return _why_uri_refused(uri[1], uri[2]) if with_uris else _write_folder(uri[2], uri[1])
    if "\\" in text:
        return "folders are separated by / here, as in /data/results"
    if scheme := _SCHEME.fullmatch(text):
        return _why_scheme_refused(scheme[1], scheme[2], with_uris)
    if "://" in text:
        return f"a URI begins with one of {', '.join(URI_SCHEMES)}"
    return None


def _is_whole_path_of_folder(text: str) -> bool:
    try:
        return text.startswith("/") and Path(text).is_dir()
    except OSError:  # the name is too long, for instance
        return False


def _write_folder(path: str, scheme: str) -> str:
    if scheme.lower() in _LOCAL_SCHEMES and path.startswith("/"):
        return f"write /{path.lstrip('/')}"
    return "it must be a folder of this machine"


def _why_uri_refused(scheme: str, rest: str) -> str | None:
    if scheme.lower() == "local":
        return _write_folder(rest, scheme)
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


def read_regular(path: str | Path, at_most: int = -1) -> bytes:
    """The beginning of a file, or all of it; ``~`` is somebody's home.

    Args:
        path: the file.
        at_most: bytes of it; -1: all.

    Raises:
        OSError: it cannot be read, or is no regular file: reading a FIFO might never end.
    """
    try:
        file = Path(path).expanduser()
    except RuntimeError as error:  # there is no such user
        raise FileNotFoundError(errno.ENOENT, str(error)) from None
    kind = file.stat().st_mode
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(kind):
        raise OSError(errno.EINVAL, "it is no regular file, but a pipe, a device or a socket")
    with file.open("rb") as opened:
        return opened.read(at_most)
