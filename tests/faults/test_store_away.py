"""An S3 store that is away just when a stage begins: waited for, or given up without blame."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from raylot import results
from raylot.command.studies import StudyKind, run_study
from raylot.sweep import study_spaces
from raylot.terminal.progress import Progress
from tests.faults.clusters import ObjectStore
from tests.faults.processes import LEAST


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    with ObjectStore() as started:
        for name, value in started.environment.items():
            monkeypatch.setenv(name, value)
        yield started


def _goes_away(store: ObjectStore, monkeypatch: pytest.MonkeyPatch, seconds: float | None) -> None:
    """At the beginning of each stage; for so long, or for good."""
    begin = Progress.begin_stage

    def away(progress: Progress, name: str) -> None:
        begin(progress, name)
        store.refuses.set()
        if seconds is not None:
            threading.Timer(seconds, store.answer).start()

    monkeypatch.setattr(Progress, "begin_stage", away)


def _status(*more: str) -> int:
    return run_study(StudyKind("study", "", {}), study_spaces, [*LEAST, *more])


def test_it_is_waited_for(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    _goes_away(store, monkeypatch, seconds=3)  # the S3 client itself tries for 2.5
    assert _status("--storage-patience", "120") == 0
    assert store.refused
    assert results.read("s3://bucket/study", "runs")["status"].tolist() == ["finished"] * (
        1 + 4 + 1
    )


def test_without_patience_the_sweep_ends_and_says_how_to_continue(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _goes_away(store, monkeypatch, seconds=None)
    assert _status("--storage-patience", "1") == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: storage=s3://bucket/study: is out of reach (")
    assert line.endswith("The same command continues them.")
