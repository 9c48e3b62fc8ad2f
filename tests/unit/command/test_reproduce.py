"""``raylot reproduce``: the list, mistakes, and an experiment from the command to its table."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from raylot.command import main
from raylot.reproductions import EXPERIMENTS


def test_alone_it_lists_every_experiment_with_source_reduction_and_cost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.main(["reproduce"]) == 0
    said = capsys.readouterr().out
    for name, part in zip(EXPERIMENTS, said.split("\n\n"), strict=False):
        assert part.startswith(f"{name}\n  {EXPERIMENTS[name].question}\n  Source: ")
        assert "\n  Reduced: " in part
        assert "training steps" in part.partition("\n  Cost: ")[2]
    assert "\noriginal\n  Does raylot find what " in said
    assert "81,581,250 training steps" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gradul"], "gradul: unknown experiment; did you mean gradual?"),
        (["§"], f"§: unknown experiment; accepted: {', '.join(EXPERIMENTS)}, original"),
        (["orignal"], "orignal: unknown experiment; did you mean original?"),
        (["original"], "--data-root is not given: must be the folder that holds MNIST"),
        (["original", "--tasks", "0"], "--tasks=0: must be a whole number in [1, 1000000]"),
        (["--full"], "unrecognized arguments: --full"),
        (["gradual", "--full"], "--full: must be left out with gradual, which has one size alone"),
        (["gradual", "--ful"], "--ful: unknown option; --help-all lists"),
        (
            ["gradual", "--tasks", "4", "--snapshots", "0,2"],
            "--tasks=4, snapshots=(0, 2): must leave a published number to compare with; the "
            "experiment has --tasks=21, --snapshots=(0, 10, 20)",
        ),
        (["gradual", "--epochs", "0"], "--epochs=0: must be a whole number in [1, 100000]"),
    ],
)
def test_a_mistake_is_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status: object = main.main(["reproduce", *words])
    except SystemExit as ended:
        status = ended.code
    said = capsys.readouterr()
    assert (status, said.out) == (2, "")
    assert said.err.startswith(f"error: {message}")
    assert said.err.count("\n") == 1


def test_an_experiment_runs_and_is_laid_beside_its_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same command again computes nothing, and says the same."""
    small = "--tasks 11 --snapshots 0,10 --epochs 1 --hidden 8 --probe-tasks 1 --seeds 0-1"
    command = ["reproduce", "gradual", *small.split(), f"--storage={tmp_path}", "--local"]
    assert main.main(command) == 0
    written = pd.read_parquet(tmp_path / "analysis" / "reproduction_gradual.parquet")
    assert written["quantity"].tolist() == [p.quantity for p in EXPERIMENTS["gradual"].published]
    assert written["seeds"].tolist()[::2] == [2, 0]
    said = capsys.readouterr().out
    before, _, first = said.partition("\ngradual: published, and found here\n")
    assert before.startswith("1 of 3 published numbers is left out by ")
    assert "tasks=11" in before
    assert "snapshots=(0, 10)" in before
    probes = pd.read_parquet(tmp_path / "tables" / "probes")
    at_once = probes[probes["gradual"] == 0]
    fresh = at_once[at_once["trained"] == "fresh"]["online_accuracy"].mean()
    late = at_once[at_once["task"] == 10]["online_accuracy"].mean()
    assert written["here"][0] == pytest.approx(fresh - late)
    otherwise = " ".join(first.split()).partition("Given otherwise than in the experiment: ")[2]
    for told in ("tasks=11", "snapshots=(0, 10)", "hidden=(8,)", "seeds=(0, 1)", "probe_tasks=1"):
        assert told in otherwise
    assert "data_root" not in otherwise
    assert "not asked for" in first
    assert "not run yet" not in first
    assert main.main(command) == 0
    assert first in capsys.readouterr().out


def test_the_original_study_is_its_preset_and_the_comparison_follows(
    mnist_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One epoch is not the original's protocol, which the comparison notices."""
    small = "--tasks 1 --snapshots 0 --epochs 1 --tickets 1 --sparsities 0.8 --rounds 1 --hidden 8"
    less = "--random-masks 1 --untrained-masks 0 --ticket-tasks 0 --probe-tasks 0 --local"
    where = f"--data-root={mnist_root} --storage={tmp_path}"
    words = [*small.split(), *less.split(), *where.split()]
    assert main.main(["reproduce", "original", *words]) == 1
    said = capsys.readouterr()
    assert "Answer:\n" in said.out
    assert "must hold runs of the original's protocol, as the preset original makes" in said.err
    runs = pd.read_parquet(tmp_path / "tables" / "runs")
    (run,) = runs[runs["kind"] == "stream"].to_dict("records")
    assert (run["dataset"], run["scaling"], run["batch_size"]) == ("mnist", "raw", 32)
