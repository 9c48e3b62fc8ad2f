"""The trial of one setting: its streams go side by side, end early when stopped, and continue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raylot import results
from raylot.config import Study
from raylot.results.settings import standing, tried
from raylot.storage import Storage
from raylot.trials.setting import SettingTrial, streams_without
from tests.unit.trials.runs import TINY


def _config(root: Path, **options: Any) -> dict[str, Any]:
    (root / "lease").parent.mkdir(exist_ok=True)
    (root / "lease").touch()
    study = Study.checked(**TINY)
    runs = [study.stream_run(seed=seed, shift="permuted_pixels") for seed in (0, 1)]
    return {
        "storage": str(root), "patience": 0.0, "lease": "lease", "save_interval": 0.0,
        "search": "a search", "tasks": 4, "streams": streams_without(runs, ["lr"]),
        "options": {"lr": 0.01, **options},
    }  # fmt: skip


def test_it_trains_all_streams_of_a_setting_task_by_task(tmp_path: Path) -> None:
    trial = SettingTrial(_config(tmp_path))
    reports = [trial.step() for _ in range(4)]
    assert [(r["tasks"], r["done"]) for r in reports] == [(1, 0), (2, 0), (3, 0), (4, 1)]
    storage = Storage(tmp_path)
    (setting,) = tried(storage)
    found = standing(storage, setting)
    assert (found.status, found.tasks_done) == ("finished", 8)
    assert found.curve == pytest.approx([report["accuracy"] for report in reports])
    tasks = results.read(storage, "tasks")
    assert found.accuracy == pytest.approx(tasks["online_accuracy"].mean())
    assert {*tasks["run_id"]} == {*setting.runs}


def test_when_it_is_stopped_its_streams_end_and_say_so(tmp_path: Path) -> None:
    trial = SettingTrial(_config(tmp_path))
    trial.step()
    trial.step()
    trial.save_checkpoint(str(tmp_path))
    storage = Storage(tmp_path)
    (setting,) = tried(storage)
    assert setting.stopped_after == 2
    assert standing(storage, setting).status == "stopped"
    assert list(results.read(storage, "runs")["tasks"]) == [2, 2]


def test_a_whole_one_is_not_stopped_by_the_checkpoint_at_its_end(tmp_path: Path) -> None:
    trial = SettingTrial(_config(tmp_path))
    for _ in range(4):
        trial.step()
    trial.save_checkpoint(str(tmp_path))
    (setting,) = tried(Storage(tmp_path))
    assert setting.stopped_after is None


def test_an_interrupted_one_continues_with_the_stream_that_lags(tmp_path: Path) -> None:
    whole = SettingTrial(_config(tmp_path / "whole"))
    wanted = [whole.step()["accuracy"] for _ in range(4)]
    first = SettingTrial(_config(tmp_path / "cut"))
    first.step()
    first._streams[0].step()  # killed after the first of two saves
    again = SettingTrial(_config(tmp_path / "cut"))
    reports = [again.step() for _ in range(3)]
    assert [report["tasks"] for report in reports] == [2, 3, 4]
    assert [report["accuracy"] for report in reports] == wanted[1:]
    assert reports[0]["new_training_steps"] == reports[1]["new_training_steps"] / 2


def test_a_setting_whose_streams_have_ended_trains_nothing(tmp_path: Path) -> None:
    trial = SettingTrial(_config(tmp_path))
    reports = [trial.step() for _ in range(4)]
    again = SettingTrial(_config(tmp_path)).step()
    assert (again["done"], again["tasks"], again["new_training_steps"]) == (True, 4, 0)
    assert again["accuracy"] == reports[-1]["accuracy"]


def test_an_actor_that_never_steps_leaves_no_trace(tmp_path: Path) -> None:
    """Tune sets some up for a trial that another actor then runs."""
    SettingTrial(_config(tmp_path))
    assert tried(Storage(tmp_path)) == []
