"""Analyses of a storage of regression tasks, which have losses and no accuracies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from raylot.analysis import correlation, dose_response
from raylot.analysis.tables.measures import is_regression
from raylot.config import Study
from tests.unit.analysis.studies import finish, read_analysis, write_rows, write_study

_TASKS, _SEEDS = (0, 10, 20), range(4)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The gap of losses on a probe task grows along each stream, as the count of tickets falls."""
    write_study(
        tmp_path,
        lambda shift, seed, task, sparsity: {"ticket_count": 3 - task / 10 - 0.1 * (seed % 2)},
        tasks=_TASKS,
        seeds=_SEEDS,
    )
    study = Study.checked(tasks=21, snapshots="0,10,20", rounds=3)
    for seed in _SEEDS:
        [run] = study.probe_runs(
            study.stream_run(shift="permuted_pixels", seed=seed, intervention="none")
        )
        common = {"probe_shift": run.probe_shift, "probe_task": 0}
        rows = [
            {**common, "trained": "snapshot", "task": t, "final_train_loss": 0.5 + t / 100}
            for t in _TASKS
        ]
        fresh = {**common, "trained": "fresh", "final_train_loss": 0.5}
        write_rows(tmp_path, "probes", run, [fresh, *rows])
        finish(tmp_path, run)
    return tmp_path


def test_the_answer_says_that_accuracies_are_missing(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    correlation.main([str(root), "--resamples", "10"])
    told = " ".join(capsys.readouterr().out.split())
    assert told.index("To compare losses: raylot analyse correl") < told.index("Not testable")
    assert "tasks are regression, which has no accuracy" in told


def test_losses_are_compared_where_asked_for(root: Path) -> None:
    words = ["--measure", "probe_loss_gap", "--tickets", "ticket_count", "--resamples", "10"]
    correlation.main([str(root), *words])
    table = read_analysis(root, "correlation")
    own = table[
        (table["plasticity_measure"] == "probe_loss_gap") & (table["statistic"] == "pearson")
    ]
    # The gap is linear in the task, and so is the count but for the seeds' offsets.
    assert (own.loc[own["ticket_measure"] == "ticket_count", "estimate"] < -0.99).all()


def test_dose_response_names_the_measure_of_losses(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dose_response.main([str(root)])
    assert "probe_loss_gap compares losses" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("online", "loss", "expected"),
    [(np.nan, 0.1, True), (0.1, 0.1, False), (np.nan, np.nan, False)],
)
def test_what_counts_as_regression(online: float, loss: float, expected: bool) -> None:
    frame = pd.DataFrame({"probe_online_gap": [online], "probe_loss_gap(probe_shift=a)": [loss]})
    assert is_regression(frame) is expected
