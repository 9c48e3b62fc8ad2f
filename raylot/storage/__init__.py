"""Files that are whole or absent, on disk or in an object store."""

from raylot.storage.storage import OutOfReachError, Storage

__all__ = ["OutOfReachError", "Storage"]
