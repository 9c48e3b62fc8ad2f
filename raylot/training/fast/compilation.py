"""Compilation by numba; the machine code is kept on disk for later processes, if possible."""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache
from numba.core.errors import NumbaWarning

#: Hash of the files whose functions kernels call.
CALLED_HASH = hashlib.sha256(
    b"".join(
        Path(__file__).with_name(f"{name}.py").read_bytes()
        for name in ("propagation", "updates", "vectors", "waiting")
    )
).hexdigest()


def part(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorates a function that kernels call, with options of `numba.njit`.

    It has no way in from Python, which would take a quarter of the time of compiling.
    """
    compiler: Any = njit  # whose types do not know all options
    decorator: Callable[[Callable[..., Any]], Callable[..., Any]] = compiler(
        error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, **options
    )
    return decorator


class _Cache(FunctionCache):
    """Looks at the files of `CALLED_HASH` too; numba itself looks at the kernel's own only."""

    def _index_key(self, *of: Any) -> Any:
        return (*super()._index_key(*of), CALLED_HASH)  # type: ignore[no-untyped-call]


class Kernel:
    """A function that is compiled for one signature when it is first called.

    numba keeps the machine code beside the module (or in ``NUMBA_CACHE_DIR``, or in the user's
    cache folder), where all workers of a node find it. If it cannot write or read that folder, or
    finds damaged files there, it only loses the time of compiling.
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
        """Takes the function from the cache, or compiles and keeps it; None if no cache works."""
        compiled: Any = None
        # A folder that cannot be written, or a damaged file, can raise anything.
        with contextlib.suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore", NumbaWarning)
            compiled = njit(error_model="numpy", nogil=True)(self._function)
            compiled._cache = _Cache(self._function)  # type: ignore[no-untyped-call]
            compiled.compile(self._signature)
        return compiled if compiled and compiled.nopython_signatures else None

    def _fresh(self) -> Callable[..., Any]:
        compiled = njit(error_model="numpy", nogil=True)(self._function)
        compiled.compile(self._signature)
        return compiled
