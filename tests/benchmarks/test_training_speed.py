"""The benchmark of training steps: it runs, and its ratios are those of its minima."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.benchmarks import training_speed
from tests.benchmarks.training_speed import LIMIT, METHODS, USUAL


@pytest.mark.slow
def test_it_measures_every_contender(mnist_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data-root", str(mnist_root), "--steps", "2", "--repeats", "1"]
    assert training_speed.main(arguments) == 0
    _, _, *heads_and_rows = capsys.readouterr().out.splitlines()
    rows = [line.split("  ")[0] for line in heads_and_rows[2:]]
    masked = [f"{d} density, {m}" for d in ("20%", "5%") for m in ("zero", "freeze")]
    assert rows == [
        USUAL,
        *(f"generic engine, {what}" for what in ("dense", *masked[:2], "dense, standardised")),
        *(f"fast engine, {what}" for what in ("dense", *masked, "dense, standardised")),
        LIMIT,
    ]


@pytest.mark.slow
def test_it_measures_methods(mnist_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data-root", str(mnist_root), "--steps", "2", "--repeats", "1"]
    assert training_speed.main([*arguments, "--interventions"]) == 0
    _, _, groups, engines, *lines = capsys.readouterr().out.splitlines()
    assert re.findall(r"[\d-]+, \d+%", groups) == [
        f"{sizes}, {density}" for sizes in ("64-64-10", "784-256-10") for density in ("100%", "20%")
    ]
    assert engines.split() == ["generic", "fast", "ratio"] * 4
    assert [re.split("  +", line)[0] for line in lines] == [*METHODS]
    for line in lines:
        figures = [float(figure) for figure in line.split()[-12:]]
        for generic, fast, ratio in zip(*[iter(figures)] * 3, strict=True):
            assert ratio == pytest.approx(generic / fast, rel=0.2)


@pytest.mark.slow
def test_it_measures_single_examples(mnist_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data-root", str(mnist_root), "--steps", "2", "--repeats", "1", "--online"]
    assert training_speed.main(arguments) == 0
    _, _, _, *lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(training_speed.ONLINE) + 1
    for line in lines:
        generic, fast, ratio = map(float, line.split()[-3:])
        assert ratio == pytest.approx(generic / fast, rel=0.1)


def test_ratios_are_those_of_minima() -> None:
    times = {USUAL: [8.0, 4.0, 6.0], "some engine": [1.0, 3.0, 9.0], LIMIT: [0.5, 0.75, 1.0]}
    rows = [line.split()[-4:] for line in training_speed.table(times).splitlines()[2:]]
    assert rows == [
        ["4.000", "6.000", "1.00", "8.00"],
        ["1.000", "3.000", "0.25", "2.00"],
        ["0.500", "0.750", "0.12", "1.00"],
    ]


def test_without_mnist_it_says_so_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert training_speed.main(["--data-root", str(tmp_path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"--data-root={tmp_path}: must be")
    assert printed.err.count("\n") == 1
