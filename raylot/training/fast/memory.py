"""Arrays that begin at a cache line, so that no vector lies in two lines."""

from __future__ import annotations

from typing import Any

import numpy as np

_LINE = 64


def aligned(size: int, dtype: Any = np.float32) -> np.ndarray:
    """Returns a flat array of zeros."""
    itemsize = np.dtype(dtype).itemsize
    room = np.zeros(size * itemsize + _LINE, np.uint8)
    start = -room.ctypes.data % _LINE
    return room[start : start + size * itemsize].view(dtype)
