"""The final summary stays safe to print, even if rows of failed runs hold control characters."""

from __future__ import annotations

from pathlib import Path

from raylot import results
from raylot.config import Study
from raylot.results.integrity import ended_runs
from raylot.storage import Storage
from raylot.sweep.outcome import outcome
from raylot.sweep.stage import Stage
from raylot.trials.record import now, run_row
from raylot.trials.state import RunState


def test_a_failure_is_one_line_without_secrets_or_control_characters(tmp_path: Path) -> None:
    """As another program may have written it."""
    study = Study.checked(tasks=3, snapshots="0")
    stream = study.stream_run(seed=0)
    error = "lost\n\x1b]0;owned\x07 s3://key:word@bucket"
    row = run_row(stream, RunState(now()), "failed", error)
    results.write(Storage(tmp_path), "runs", stream.run_id, [row])
    stages = [Stage("streams", [stream])]
    storage = Storage(tmp_path)
    told = outcome(stages, ended_runs(storage), storage, ["two\nlines"]).summary()
    assert told.splitlines() == [
        "0 runs finished, 1 failed (try again with --retry-failed)",
        f"  failed: {stream.label} ({stream.run_id}): lost \\x1b]0;owned\\x07 s3://***@bucket",
        "  given up: two lines",
    ]
