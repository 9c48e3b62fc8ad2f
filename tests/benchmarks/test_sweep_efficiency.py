"""The benchmark of a whole sweep runs; its figures depend on the machine and are not looked at."""

from __future__ import annotations

import pytest

from tests.benchmarks import sweep_efficiency


@pytest.mark.slow  # a minute, and no promise depends on it
def test_it_prints_what_one_more_trial_costs(capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep_efficiency.main(["short", "--trials", "1"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("2 trials of next to no work: ")
    assert "one more trial: " in said
