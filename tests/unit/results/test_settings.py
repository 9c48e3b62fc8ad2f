"""How settings of a search stand, by the tables of their streams."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from raylot.results import read_run
from raylot.results.settings import (
    Setting,
    accuracy_so_far,
    best,
    read_chosen,
    standing,
    tried,
    write_chosen,
)
from raylot.storage import Storage
from raylot.trials.stream import StreamTrial
from tests.unit.trials.runs import finish, trial_config


def test_tasks_that_a_stream_has_not_reached_count_as_0() -> None:
    assert accuracy_so_far([[0.5, 1.0], [0.5, math.nan]], 2) == pytest.approx(0.5)
    assert accuracy_so_far([[0.5, 1.0], [0.5]], 2) == pytest.approx(0.5)
    assert accuracy_so_far([[0.5, 1.0], [0.25, 1.0]], 1) == pytest.approx(0.375)


def test_a_setting_stands_as_its_streams_do(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    trials = [StreamTrial(trial_config(tmp_path, seed=seed)) for seed in (0, 1)]
    setting = Setting("a search", "none", {"lr": 0.01}, [t.run.run_id for t in trials], 4)
    setting.write(storage)
    assert tried(storage) == [setting]
    for trial in trials:
        trial.step()
        trial.step()
    assert standing(storage, setting).status == "unfinished"
    for trial in trials:
        trial.end_early()
    stopped = replace(setting, stopped_after=2)
    stopped.write(storage)
    assert tried(storage) == [stopped]
    found = standing(storage, stopped)
    assert (found.status, len(found.curve), found.tasks_done) == ("stopped", 2, 4)
    assert best([found]) == {}
    for seed in (0, 1):
        finish(StreamTrial(trial_config(tmp_path, seed=seed)))
    grown = standing(storage, stopped)
    assert (grown.status, len(grown.curve), grown.tasks_done) == ("finished", 4, 8)
    assert grown.curve[:2] == found.curve
    assert best([grown]) == {"none": grown}


def test_lists_are_read_as_they_were_drawn(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    setting = Setting("a", "none", {"hidden": (100, 100), "lr": 0.1}, ["x"], 1)
    setting.write(storage)
    assert tried(storage) == [setting]


def test_a_damaged_file_is_no_setting(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    Setting("a", "none", {}, ["x"], 1).write(storage)
    (path,) = (tmp_path / "settings").iterdir()
    path.write_text(path.read_text().replace('"x"', '"y"'))
    assert tried(storage) == []


def test_a_stream_that_ends_early_grows_to_the_rows_of_one_that_did_not(tmp_path: Path) -> None:
    whole, early = Storage(tmp_path / "whole"), Storage(tmp_path / "early")
    finish(StreamTrial(trial_config(whole.root)))
    trial = StreamTrial(trial_config(early.root))
    trial.step()
    trial.end_early()
    assert not list((tmp_path / "early").glob("state/*/*"))
    again = StreamTrial(trial_config(early.root))
    reports = finish(again)
    assert [report["timesteps_total"] for report in reports] == [2, 3, 4]
    run_id = again.run.run_id
    assert len(read_run(early, "tasks", run_id) or []) == 4
    assert read_run(early, "tasks", run_id) == read_run(whole, "tasks", run_id)


def test_the_settings_that_were_chosen_are_noted(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    assert read_chosen(storage) == []
    settings = [Setting("a", name, {"lr": 0.1}, [f"run of {name}"], 1) for name in ("none", "l2")]
    for setting in settings:
        setting.write(storage)
    write_chosen(storage, settings)
    assert read_chosen(storage) == settings
    write_chosen(storage, settings[1:])
    assert read_chosen(storage) == settings[1:]
    (tmp_path / "best.json").write_text("7")
    assert read_chosen(storage) == []
