"""The benchmark of convolutional networks runs, and measures what it says."""

from __future__ import annotations

import pytest

from tests.benchmarks import convolution_speed
from tests.benchmarks.training_speed import LIMIT, USUAL


def test_it_measures_every_contender(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--steps", "1", "--repeats", "1", "--scale", "0.05"]
    assert convolution_speed.main([*arguments, "--networks", "conv2", "resnet20"]) == 0
    rows = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()]
    ours = [f"generic engine, {which}" for which in ("dense", "20% density", "1% density")]
    contenders = [USUAL, *ours, LIMIT]
    assert [row for row in rows if row in contenders] == contenders * 2


@pytest.mark.slow
def test_it_measures_batches_of_an_evaluation(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--networks", "conv2", "--repeats", "1", "--scale", "0.05", "--evaluation"]
    assert convolution_speed.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()[-6:]
    assert [line.split()[0] for line in lines] == ["16", "32", "64", "128", "256", "1024"]
    assert all(float(line.split()[1]) > 0 for line in lines)
