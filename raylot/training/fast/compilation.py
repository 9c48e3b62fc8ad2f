"""Compilation by numba, kept on disk for the next process where that works."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from numba import njit
from numba.core.errors import NumbaWarning


class Kernel:
    """A function compiled for one signature when it is first called.

    The machine code is kept beside the module (or in ``NUMBA_CACHE_DIR``, or the user's cache
    folder), where all workers of a node find it. A folder that cannot be written or read, or what
    is damaged there, costs the time of compiling and nothing else.
    """

    def __init__(
        self, function: Callable[..., Any], returns: str, arguments: Sequence[str]
    ) -> None:
        self._function = function
        self._signature = f"{returns}({', '.join(arguments)})"
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        if self._compiled is None:
            self._compiled = self._kept() or self._fresh()
        return self._compiled(*arguments)

    def _kept(self) -> Callable[..., Any] | None:
        """The function from the cache, or compiled and put there; None if there can be no cache.

        What cannot be written, or is damaged, can raise anything.
        """
        compiled = None
        with contextlib.suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore", NumbaWarning)
            compiled = njit(error_model="numpy", nogil=True, cache=True)(self._function)
            compiled.compile(self._signature)
        return compiled if compiled is not None and compiled.nopython_signatures else None

    def _fresh(self) -> Callable[..., Any]:
        compiled = njit(error_model="numpy", nogil=True)(self._function)
        compiled.compile(self._signature)
        return compiled
