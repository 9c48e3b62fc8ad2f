"""Reads a table again only if its files have changed, for analyses that read each several times."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from raylot.results import tables
from raylot.storage import Storage

#: Larger tables are not kept.
_MOST_ROWS = 100_000
#: What was read last, of one storage: root, table, columns -> the files' versions, and the rows.
_kept: dict[tuple[str, str, tuple[str, ...] | None], tuple[dict[str, list[int]], pd.DataFrame]] = {}


def read_unchanged(
    storage: Storage, table: str, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Returns what `raylot.results.read` returns, from memory if no file has changed since."""
    if any(root != storage.root for root, *_ in _kept):
        _kept.clear()
    versions = storage.versions(f"tables/{table}")
    key = storage.root, table, None if columns is None else tuple(columns)
    for found in (_kept.get(key), _kept.get((storage.root, table, None))):
        if found is not None and found[0] == versions:
            return found[1].copy() if columns is None else found[1][list(columns)].copy()
    frame = tables.read(storage, table, columns)
    if len(frame) <= _MOST_ROWS:
        _kept[key] = versions, frame.copy()
    return frame
