"""The benchmark of results at scale runs, on few runs; what it measures is not judged here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from raylot import results

SCRIPT = Path(__file__).with_name("results_at_scale.py")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.slow  # a minute, and no promise depends on it
def test_it_measures_what_it_says(tmp_path: Path) -> None:
    done = run("--runs", "1", "--small-files", "--storage", str(tmp_path))
    assert all(line.endswith(" ...") for line in done.stderr.splitlines()), done.stderr
    assert done.returncode == 0
    for table in results.SCHEMAS:
        assert f"read {table}, small files" in done.stdout
    for measured in ("compact ", "analysis/correlation.py ", "analysis/report.py ("):
        assert measured in done.stdout
    runs = results.read(tmp_path, "runs")
    assert runs["kind"].value_counts().to_dict() == {"tickets": 400, "stream": 8, "probes": 8}
    assert len(results.read(tmp_path, "snapshots")) == 400
    assert not list((tmp_path / "tables" / "tickets").glob("*.parquet"))  # all are compacted


def test_a_mistake_is_one_line() -> None:
    done = run("--runs", "none")
    assert done.returncode == 2
    assert done.stderr == (
        "error: argument --runs: invalid whole value: 'none' (--help lists what there is)\n"
    )
