"""Where results live: one root folder or URI, with whole files read and atomically replaced."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from raylot.options import OptionError


class Storage:
    """A root folder, local or any URI that pyarrow knows (``s3://bucket/folder``).

    Paths are relative to the root, with ``/``. A file is either its old self or its new self,
    never something in between, whoever is killed while writing it.
    """

    def __init__(self, root: str | Path) -> None:
        """Opens a storage; nothing is created.

        Raises:
            OptionError: the URI names no known file system.
        """
        self.root = str(root)
        if "://" not in self.root:
            try:
                self.root = str(Path(self.root).expanduser().resolve())
            except (RuntimeError, ValueError) as error:
                raise OptionError(
                    f"storage={root}: must be a folder that can be written, or a URI ({error})"
                ) from None
            self.filesystem, self._base = fs.LocalFileSystem(), self.root
            if Path(self.root).exists() and not Path(self.root).is_dir():
                raise self._unusable(NotADirectoryError("it is no folder"))
            return
        try:
            self.filesystem, self._base = fs.FileSystem.from_uri(self.root)
        except (ValueError, OSError) as error:
            raise OptionError(
                f"storage={root}: must be a folder that can be written, or a URI ({error})"
            ) from None

    @property
    def is_local(self) -> bool:
        return isinstance(self.filesystem, fs.LocalFileSystem)

    def path(self, relative: str) -> str:
        """The path by which `filesystem` knows a file or folder."""
        return f"{self._base.rstrip('/')}/{relative}"

    def write(self, relative: str, data: bytes) -> None:
        """Creates or replaces a file, atomically."""
        path = self.path(relative)
        self.filesystem.create_dir(path.rpartition("/")[0], recursive=True)
        if not self.is_local:  # an object appears only when its upload is complete
            with self.filesystem.open_output_stream(path) as stream:
                stream.write(data)
            return
        final = Path(path)
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
        """A file's contents; None if there is no such file."""
        try:
            with self.filesystem.open_input_file(self.path(relative)) as file:
                return bytes(file.read())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def exists(self, relative: str) -> bool:
        return bool(self.filesystem.get_file_info(self.path(relative)).type != fs.FileType.NotFound)

    def names(self, folder: str) -> list[str]:
        """Names of the finished files in a folder, sorted; empty if there is no such folder."""
        selector = fs.FileSelector(self.path(folder), allow_not_found=True)
        try:
            infos = self.filesystem.get_file_info(selector)
        except (OSError, pa.ArrowException) as error:
            raise self._unusable(error) from None
        return sorted(info.base_name for info in infos if not info.base_name.startswith("."))

    def delete_file(self, relative: str) -> None:
        """Deletes a file, if it is there; somebody else may be doing the same."""
        with contextlib.suppress(FileNotFoundError):
            if self.exists(relative):
                self.filesystem.delete_file(self.path(relative))

    def delete_folder(self, relative: str) -> None:
        """Deletes a folder and all that is in it, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            if self.exists(relative):
                self.filesystem.delete_dir(self.path(relative))

    def check_writable(self) -> None:
        """Creates the root and writes a file there.

        Raises:
            OptionError: that did not work.
        """
        probe = f".writable-{uuid.uuid4().hex}"
        try:
            self.write(probe, b"")
            self.delete_file(probe)
        except (OSError, pa.ArrowException) as error:
            raise self._unusable(error) from None

    def _unusable(self, error: Exception) -> OptionError:
        reason = getattr(error, "strerror", None) or str(error)
        return OptionError(
            f"storage={self.root}: must be a folder that can be written, or a URI ({reason})"
        )
