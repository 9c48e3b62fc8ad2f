"""The time for which settings have been tried, kept in the storage, so that a budget holds."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from raylot.storage import Storage

_SPENT = "choosing/spent.json"


def spent(storage: Storage) -> dict[str, float]:
    """Returns the seconds for which settings of each intervention have been tried in a storage."""
    try:
        told = json.loads(storage.read(_SPENT) or b"{}")
        return {str(name): float(seconds) for name, seconds in told.items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        return {}


@dataclass
class Clock:
    """Counts the seconds for which an intervention's settings are tried, in the storage.

    It stands still until `start`: that Ray needs longer to begin with one intervention than with
    another is no part of their shares.
    """

    storage: Storage
    intervention: str
    _counted_at: float | None = None
    _counted: float = 0.0

    def start(self) -> None:
        """Begins to count, unless it has begun."""
        if self._counted_at is None:
            self._counted_at = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since `start`."""
        since = 0.0 if self._counted_at is None else time.monotonic() - self._counted_at
        return self._counted + since

    def stop(self) -> None:
        """Counts for the last time."""
        self.count()
        self._counted_at = None

    def count(self, *, at_least: float = 0.0) -> None:
        """Adds the time since the last count, if it is at least so many seconds."""
        now = time.monotonic()
        if self._counted_at is None or now - self._counted_at < at_least:
            return
        self._counted += now - self._counted_at
        told = spent(self.storage)
        told[self.intervention] = told.get(self.intervention, 0.0) + now - self._counted_at
        self._counted_at = now
        self.storage.write(_SPENT, json.dumps(told).encode())
