"""The benchmark of many runs runs; its figures depend on the machine."""

from __future__ import annotations

import pytest

from tests.benchmarks import many_runs


@pytest.mark.slow
def test_it_prints_what_runs_cost_beside_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert many_runs.main(["--runs", "10", "--every", "4", "--local"]) == 0
    total, heading, *rows, tune, tables, artifacts, _ = capsys.readouterr().out.splitlines()
    assert total.startswith("10 runs, ")
    assert heading.split()[:3] == ["runs", "s", "per"]
    assert [row.split()[0] for row in rows] == ["4", "8", "10"]
    assert all(float(cell.replace(",", "")) > 0 for row in rows for cell in row.split())
    assert tune.split()[1] == "0"
    assert int(tables.split()[1]) > 20
    assert int(artifacts.split()[1]) == 2 * 4
