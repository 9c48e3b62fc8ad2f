"""The benchmark of a command's start runs; its figures depend on the machine."""

from __future__ import annotations

import pytest

from tests.benchmarks import startup

#: As little work as a study can be.
_TINY = (
    "--seeds", "0", "--tasks", "1", "--snapshots", "0", "--shifts", "stationary", "--interventions",
    "none", "--epochs", "1", "--hidden", "4", "--batch-size", "512", "--tickets", "1", "--rounds",
    "1", "--random-masks", "0", "--rewired-masks", "0", "--reinit-tickets", "0", "--probe-tasks",
    "0", "--ntk-examples", "0", "--sharpness-iterations", "0", "--engine", "generic",
)  # fmt: skip


@pytest.mark.slow
def test_it_prints_when_a_command_comes_to_each_phase(capsys: pytest.CaptureFixture[str]) -> None:
    assert startup.main(["--runs", "1", "--only", "local", "--", *_TINY]) == 0
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split()[:3] == ["seconds", "since", "Enter"]
    way, *cells = row.split()
    assert way == "local"
    seconds = dict(zip(startup.PHASES, cells, strict=True))
    assert seconds.pop("Ray is there") == "-"
    assert float(seconds.pop("between stages")) < float(seconds["ended"])
    moments = [float(seconds[phase]) for phase in startup.PHASES if phase in seconds]
    assert moments == sorted(moments)
    assert moments[0] > 0
