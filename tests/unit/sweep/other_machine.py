"""Rows as another machine would have computed them."""

from __future__ import annotations

import json

from raylot import results
from raylot.results.integrity import inspect
from raylot.storage import Storage


def change_row(storage: Storage, run_id: str, place: int, table: str = "tasks") -> None:
    """Changes a number in a run's row of a table, and the digest that the run has noted."""
    rows = results.read_run(storage, table, run_id) or []
    rows[place]["test_loss"] += 1e-9
    digest = results.write(storage, table, run_id, rows)
    (end,) = results.read_run(storage, "runs", run_id) or []
    files = {**json.loads(end["files"]), table: (len(rows), digest)}
    other = {"files": json.dumps(files), "device_used": "another", "torch_version": "another"}
    results.write(storage, "runs", run_id, [{**end, **other}])
    assert inspect(storage, artifacts=True).damages == []
