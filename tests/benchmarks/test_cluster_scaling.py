"""The benchmark of clusters runs; its figures depend on the machine and are not looked at."""

from __future__ import annotations

import pytest

from tests.benchmarks import cluster_scaling


@pytest.mark.slow  # a minute, and no promise depends on it
def test_it_prints_a_line_for_each_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    cluster_scaling.main(["--trials", "2", "--sleeping", "2", "--sleep", "0.1", "--nodes", "1"])
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in said[1:]] == ["training", "sleeping"]
