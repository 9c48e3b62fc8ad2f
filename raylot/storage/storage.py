"""Stores results below one folder or URI; reads and replaces its files as a whole."""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
import re
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from pyarrow import fs

from raylot.foundation import paths
from raylot.foundation.errors import OptionError
from raylot.foundation.text import one_line
from raylot.storage import checksum
from raylot.storage.checksum import DamagedFileError

Result = TypeVar("Result")

_log = logging.getLogger(__name__)

#: Seconds between two tries while a storage refuses: at first, and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0

#: Seconds within which an object store must answer, before it is tried again.
_CONNECT_TIMEOUT, _REQUEST_TIMEOUT = 10.0, 60.0

#: Characters of an error's text that are shown.
_LONGEST_REASON = 300

#: A bucket's name.
_BUCKET = re.compile("[A-Za-z0-9._-]+")
#: A parameter of a URI that is probably a secret, by its name.
_KEY = re.compile(
    "([?&][^&=]*(?:key|secret|token|pass|pwd|sig|credential)[^&=]*=)[^&]*", re.IGNORECASE
)

#: Errors that no second try can mend: the path is wrong, or belongs to another user.
_FINAL = {
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS,
    errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP, errno.EEXIST,
}  # fmt: skip
_FINAL_ANSWERS = re.compile(
    "AWS Error (ACCESS_DENIED|NO_SUCH_BUCKET|INVALID_ACCESS_KEY_ID|SIGNATURE_DOES_NOT_MATCH|"
    "UNRECOGNIZED_CLIENT|INVALID_CLIENT_TOKEN_ID|MISSING_AUTHENTICATION_TOKEN)"
)


#: Written and deleted to see whether a storage can be written. It always has this name, so that a
#: command deletes the file of one that was killed.
_PROBE = ".writable"

#: Seconds after which raylot takes a temporary file for one whose writer was killed.
_LONGEST_WRITE = 600.0

#: The name of a temporary file, and the folders in which sweeps write, besides the root itself.
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")
_WRITTEN = (
    "tables", "artifacts", "state", "commands", "drivers", "damaged", "analysis", "settings",
    "choosing",
)  # fmt: skip


class OutOfReachError(OSError):
    """A storage could not be read or written within its patience."""


class Storage:
    """A root folder, local or any URI that pyarrow knows (``s3://bucket/folder``).

    Paths are relative to the root, with ``/``. A reader finds a file either as it was before a
    write or as it is after it, even if the writer is killed meanwhile.

    For ``s3://``, credentials, region and endpoint come from the environment variables that AWS's
    own tools read (``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_DEFAULT_REGION``,
    ``AWS_ENDPOINT_URL``, ...).
    """

    def __init__(self, root: str | Path, patience: float = 0.0) -> None:
        """Opens a storage; creates nothing.

        Args:
            root: folder or URI.
            patience: seconds for which an operation is tried again while the disk is full or the
                object store refuses.

        Raises:
            OptionError: the URI names no known file system, or holds credentials; or the text is
                probably a typing error (`raylot.foundation.paths.why_refused`).
        """
        self.root = str(root)
        self.patience = patience
        _refuse_credentials(self.root)
        if isinstance(root, str) and (reason := paths.why_refused(root)):
            raise self.unusable(ValueError(reason))
        try:
            if paths.is_uri(self.root):
                self.filesystem, self._base = _opened(self.root)
                return
            folder = Path(self.root).expanduser().resolve()
            if folder.exists() and not folder.is_dir():
                raise NotADirectoryError("it is no folder")
        except (OSError, RuntimeError, ValueError) as error:
            raise self.unusable(error) from None
        self.root = self._base = str(folder)
        self.filesystem = fs.LocalFileSystem()

    @classmethod
    def again(cls, root: str, patience: float = 0.0) -> Storage:
        """Opens a storage by the `root` of an open one; accepts what looks like a typing error."""
        return cls(root if paths.is_uri(root) else Path(root), patience)

    @property
    def is_local(self) -> bool:
        return isinstance(self.filesystem, fs.LocalFileSystem)

    def path(self, relative: str) -> str:
        """Returns the path by which `filesystem` knows a file or folder.

        Raises:
            ValueError: the path would be the root itself, or lead outside.
        """
        if not {"", ".", ".."}.isdisjoint(relative.split("/")):
            raise ValueError(f"path={relative}: must lie inside the storage, without . and ..")
        return f"{self._base.rstrip('/')}/{relative}"

    def _own_path(self, relative: str) -> str:
        """Returns the same as `path`, for a file or folder to be written or deleted.

        Raises:
            OptionError: a link in the storage leads out of it. Through such a link, a storage from
                somebody else could replace or delete this user's own files.
        """
        path = self.path(relative)
        if self.is_local:
            folder = os.path.realpath(Path(path).parent)
            if not Path(folder).is_relative_to(os.path.realpath(self._base)):
                raise OptionError(
                    f"storage={self.root}: must hold no links to other folders; {relative} would "
                    f"be written to or deleted from {folder}"
                )
        return path

    def write(self, relative: str, data: bytes) -> None:
        """Creates or replaces a file, atomically."""
        write = self._write_local if self.is_local else self._write_object
        self._patiently(lambda: write(self._own_path(relative), data))

    def _write_object(self, path: str, data: bytes) -> None:
        """Uploads an object, which appears when the upload is complete, and needs no folder.

        The upload runs in a thread, which no signal interrupts: pyarrow would store half an object
        if a stream were left half written.
        """

        def upload() -> None:
            with self.filesystem.open_output_stream(path) as stream:
                stream.write(data)

        with ThreadPoolExecutor(1) as thread:
            thread.submit(upload).result()

    def _write_local(self, path: str, data: bytes) -> None:
        final = Path(path)
        final.parent.mkdir(parents=True, exist_ok=True)
        # A leading dot hides the file from pyarrow and pandas, which read whole folders.
        temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex}.tmp")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(final)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def read(self, relative: str) -> bytes | None:
        """Returns a file's contents; None if there is no such file."""

        def read() -> bytes:
            path = self.path(relative)
            try:
                with self.filesystem.open_input_file(path) as file:
                    return bytes(file.read())
            except OSError:
                if self.filesystem.get_file_info(path).is_file:
                    raise
                raise FileNotFoundError(path) from None

        try:
            return self._patiently(read)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_checked(self, relative: str) -> bytes | None:
        """Returns the contents of a file with a checksum in it; None if there is no such file.

        Raises:
            DamagedFileError: the checksum does not fit the contents.
        """

        def checked(data: bytes) -> bytes:
            checksum.check(data, relative)
            return data

        return self.read_whole(relative, checked)

    def read_whole(self, relative: str, parse: Callable[[bytes], Result]) -> Result | None:
        """Reads and parses a file; returns None if there is no such file.

        An object that is replaced while it is read may arrive cut off: it is read again until two
        readings are the same.

        Args:
            relative: the file.
            parse: turns the contents into the result, or raises `DamagedFileError`.

        Raises:
            DamagedFileError: `parse` raised it.
        """
        before: bytes | None = None
        while (data := self.read(relative)) is not None:
            try:
                return parse(data)
            except DamagedFileError:
                if self.is_local or data == before:
                    raise
                before = data
        return None

    def exists(self, relative: str) -> bool:
        info = self._patiently(lambda: self.filesystem.get_file_info(self.path(relative)))
        return bool(info.type != fs.FileType.NotFound)

    def names(self, folder: str) -> list[str]:
        """Returns the names of the files and folders in a folder, sorted; none if there is none.

        Temporary files are left out.
        """
        return sorted(info.base_name for info in self._listed(folder))

    def versions(self, folder: str) -> dict[str, list[int]]:
        """Finds the whole files in a folder and in the folders below it.

        Returns:
            Path in the storage -> size in bytes, and the time of its last change in nanoseconds.
        """
        begin = len(self._base.rstrip("/")) + 1
        found = self._listed(folder, recursive=True)
        return {info.path[begin:]: [info.size, info.mtime_ns] for info in found if info.is_file}

    def _listed(self, folder: str, *, recursive: bool = False) -> list[fs.FileInfo]:
        selector = fs.FileSelector(self.path(folder), allow_not_found=True, recursive=recursive)
        try:
            infos = self._patiently(lambda: self.filesystem.get_file_info(selector))
        except NotADirectoryError:  # there is a file in the folder's place
            return []
        return [info for info in infos if not info.base_name.startswith(".")]

    def delete_file(self, relative: str) -> None:
        """Deletes a file if it exists; another process may delete it at the same time."""
        self._delete(relative, self.filesystem.delete_file)

    def delete_folder(self, relative: str) -> None:
        """Deletes a folder with everything in it, if it exists."""
        self._delete(relative, self.filesystem.delete_dir)

    def _delete(self, relative: str, delete: Callable[[str], None]) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self.exists(relative):
                self._patiently(lambda: delete(self._own_path(relative)))

    def set_aside(self, relative: str) -> None:
        """Moves a damaged file to ``damaged/``, where nobody reads it, if it still exists."""
        data = self.read(relative)
        if data is not None:
            self.write(f"damaged/{relative}", data)
            self.delete_file(relative)

    def remove_leftovers(self) -> None:
        """Deletes the temporary files of writers that were killed."""
        if not self.is_local:
            return
        oldest, pattern = time.time() - _LONGEST_WRITE, ".*.tmp"
        own = [Path(self.path(folder)) for folder in _WRITTEN]
        folders = [folder.rglob(pattern) for folder in own if not folder.is_symlink()]
        for path in itertools.chain(Path(self._base).glob(pattern), *folders):
            with contextlib.suppress(OSError):
                if _TEMPORARY.fullmatch(path.name) and path.stat().st_mtime < oldest:
                    path.unlink()

    def check_writable(self) -> None:
        """Creates the root and writes a file there.

        Raises:
            OptionError: the file could not be written, or a link leads out of the storage.
        """
        hasty = Storage.again(self.root)
        try:
            for folder in (*_WRITTEN, "tune"):
                self._own_path(f"{folder}/{_PROBE}")
            hasty.write(_PROBE, b"")
            hasty.delete_file(_PROBE)
        except (OSError, pa.ArrowException) as error:
            raise self.unusable(error) from None

    def _patiently(self, operation: Callable[[], Result]) -> Result:
        """Runs an operation, again and again after errors that may pass, while patience lasts.

        Raises:
            OutOfReachError: the operation failed, and patience is over or the error will not pass.
        """
        give_up, pause = time.monotonic() + self.patience, _FIRST_PAUSE
        while True:
            try:
                return operation()
            except (FileNotFoundError, NotADirectoryError):
                raise
            except OSError as error:
                if not _may_pass(error) or time.monotonic() + pause > give_up:
                    number = [] if error.errno is None else [error.errno]
                    # The cause is left out: its text may hold secrets.
                    raise OutOfReachError(*number, _reason(error)) from None
                _log.warning(
                    "storage=%s: %s; trying again for up to %.0f s",
                    one_line(self.root), _reason(error), give_up - time.monotonic(),
                )  # fmt: skip
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def unusable(self, error: Exception) -> OptionError:
        """Returns what to tell the user after an error of this storage."""
        return OptionError(
            f"storage={self.root}: must be a folder that can be written, or a URI "
            f"({_reason(error)})"
        )


def _reason(error: Exception) -> str:
    # The beginning of an error of an object store names its bucket and key.
    return one_line(getattr(error, "strerror", None) or error)[:_LONGEST_REASON]


def _may_pass(error: OSError) -> bool:
    return error.errno not in _FINAL and not _FINAL_ANSWERS.search(str(error))


def _refuse_credentials(uri: str) -> None:
    """Refuses a URI with credentials: a storage's root is printed, logged and handed to Ray."""
    if (found := paths.scheme_of(uri)) is None:
        return
    scheme, place = found
    if scheme.startswith("abfs"):  # abfs://container@account/folder
        place = place if ":" in place.partition("@")[0] else place.replace("@", "/", 1)
    if scheme == "file" or not ("@" in place or _KEY.search(place)):
        return
    shown = ("***@" if "@" in place else "") + _KEY.sub(r"\1***", place.rpartition("@")[2])
    raise OptionError(
        f"storage={scheme}://{shown}: must hold no credentials; set AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY, or what your object store reads, instead"
    )


def _opened(uri: str) -> tuple[fs.FileSystem, str]:
    """Returns a URI's file system, and the path of its root; raises ValueError or OSError."""
    if not uri.startswith("s3://") or "?" in uri:
        filesystem, base = fs.FileSystem.from_uri(uri)
        return filesystem, base
    base = uri.removeprefix("s3://").strip("/")
    if not _BUCKET.fullmatch(base.partition("/")[0]) or not base.isprintable():
        raise ValueError("it names no bucket")
    # pyarrow by itself reads credentials from the environment, but neither endpoint nor region.
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if "@" in (endpoint or ""):
        raise ValueError(
            "AWS_ENDPOINT_URL must hold no credentials; set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY instead"
        )
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    filesystem = fs.S3FileSystem(
        endpoint_override=endpoint,
        region=region or (None if endpoint is None else "us-east-1"),
        connect_timeout=_CONNECT_TIMEOUT,
        request_timeout=_REQUEST_TIMEOUT,
    )
    return filesystem, base
