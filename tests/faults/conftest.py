"""The undisturbed sweep that every disturbed one must equal."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from tests.faults.processes import Driver


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A storage with the tiny sweep; computed once for all test processes."""
    own = tmp_path_factory.getbasetemp()
    shared = own if worker_id == "master" else own.parent
    storage, done = shared / "undisturbed", shared / "undisturbed.done"
    with (shared / "undisturbed.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            with Driver(storage, "--address", "local") as driver:
                driver.finishes()
            done.touch()
    return storage
