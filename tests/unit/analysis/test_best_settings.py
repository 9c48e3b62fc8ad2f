"""The analysis reports the settings that a search wrote into best.yaml."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from raylot.analysis import best_settings
from raylot.config import Study
from raylot.foundation.names import CHOOSING
from raylot.results.settings import Setting, Standing, write_chosen
from raylot.storage import Storage
from tests.unit.analysis.studies import finish, write_rows

_TASKS = 3


def _try(storage: Storage, lr: float, hidden: tuple[int, ...], accuracy: float) -> Setting:
    """Writes a setting with two choosing seeds, and three others on which it does worse."""
    study = Study.checked(tasks=_TASKS, snapshots="0", lr=lr, hidden=hidden)
    runs = [study.stream_run(seed=seed, shift="permuted_pixels") for seed in range(5)]
    for run in runs:
        finish(Path(storage.root), run)
        own = accuracy - 0.1 * (run.seed > 1)
        rows = [{"task": t, CHOOSING: own, "test_accuracy": own} for t in range(_TASKS)]
        write_rows(Path(storage.root), "tasks", run, [{"subnetwork": "dense", **r} for r in rows])
    options = {"lr": lr, "hidden": hidden}
    setting = Setting("a search", "none", options, [run.run_id for run in runs[:2]], _TASKS)
    setting.write(storage)
    return setting


def test_the_chosen_setting_is_reported_though_another_one_did_better(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    chosen = _try(storage, 0.01, (64,), 0.5)
    _try(storage, 0.1, (100, 100), 0.7)  # the ranges of a later search do not hold it
    write_chosen(storage, [chosen])
    best_settings.main([str(tmp_path)])
    best = pd.read_csv(tmp_path / "analysis" / "best_settings.csv")
    assert set(best["setting"]) == {"hidden=(64), lr=0.01"}
    assert list(best["mean"].round(6)) == [0.4, 0.4]
    assert list(best["choosing_accuracy"].round(6)) == [0.5, 0.5]
    assert list(best["seeds"]) == [3, 3]
    tried = pd.read_csv(tmp_path / "analysis" / "settings.csv")
    assert list(tried["accuracy"].round(6)) == [0.7, 0.5]


def test_before_anything_is_chosen_the_settings_alone_are_reported(tmp_path: Path) -> None:
    _try(Storage(tmp_path), 0.01, (64,), 0.5)
    best_settings.main([str(tmp_path)])
    assert pd.read_csv(tmp_path / "analysis" / "best_settings.csv").empty
    assert len(pd.read_csv(tmp_path / "analysis" / "settings.csv")) == 1
    assert not (tmp_path / "analysis" / "figures").exists()


def test_settings_that_finished_come_first_and_the_best_of_them_before_all() -> None:
    def standing(status: str, *curve: float) -> Standing:
        return Standing(Setting("a search", "l2", {"lr": 1.0}, ["run"], 3), status, list(curve), 3)

    found = [
        standing("unfinished"),
        standing("stopped", 0.9),
        standing("finished", 0.5, 0.5, 0.5),
        standing("finished", 0.5, 0.6, 0.7),
        standing("stopped", 0.95),
    ]
    rows = [(row["status"], row["accuracy"]) for row in best_settings.setting_rows(found)]
    assert rows[:2] == [("finished", 0.7), ("finished", 0.5)]
    assert rows[2:4] == [("stopped", 0.95), ("stopped", 0.9)]
    assert rows[4][0] == "unfinished"
