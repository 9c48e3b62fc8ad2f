"""Tells how far the planning of a large sweep has come."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

Item = TypeVar("Item")

#: Seconds of silence at first, and between two lines.
_SILENT, _INTERVAL = 2.0, 10.0


class Planning:
    """Prints a line to standard error now and then, once planning has taken two seconds."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _SILENT

    def of(self, what: str, items: Iterable[Item], number: int | None = None) -> Iterator[Item]:
        """Passes items on and counts them.

        Args:
            what: they are planned for.
            items: one for each run.
            number: how many there are; None: the length of the collection.
        """
        if number is None:
            number = len(items) if isinstance(items, Sized) else 0
        for done, item in enumerate(items):
            if time.monotonic() >= self._next:
                self._next = time.monotonic() + _INTERVAL
                print(f"planning: {done:,} of {number:,} {what}", file=sys.stderr, flush=True)
            yield item
