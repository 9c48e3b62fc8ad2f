"""Fixtures that several tests of the analysis use."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.analysis.studies import falling, falling_metrics, write_study


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 shifts x 2 sparsities, 5 seeds, 4 snapshots: the shape of a default sweep.

    Written once; tests leave its tables alone.
    """
    return write_study(
        tmp_path_factory.mktemp("study"), falling, shifts=("permuted_pixels", "stationary"),
        sparsities=(0.8, 0.9), metrics=falling_metrics,
    )  # fmt: skip


@pytest.fixture
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files need not survive a loss of power: for tests that write many."""
    monkeypatch.setattr("os.fsync", lambda file: None)
