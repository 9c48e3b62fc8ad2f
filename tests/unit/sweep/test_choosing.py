"""How many settings may still be tried, and for how long, by what the storage says."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest

from raylot import plugins
from raylot.config.settings_search import SettingsSearch
from raylot.results.settings import Setting, Standing
from raylot.storage import Storage
from raylot.sweep.choosing import Choosing
from raylot.sweep.clock import Clock, spent
from tests.unit.config.test_settings_search import GIVEN


def _choosing(root: Path, **options: object) -> Choosing:
    return Choosing(SettingsSearch.checked(**{**GIVEN, **options}), Storage(root), {}, {})


def _standing(status: str) -> Standing:
    return Standing(Setting("", "l2", {}, [], 4), status, [], 0)


def test_settings_that_ended_count_and_interrupted_ones_do_not(tmp_path: Path) -> None:
    choosing = _choosing(tmp_path, trials=5)
    found = [_standing(status) for status in ("finished", "stopped", "unfinished", "failed")]
    assert choosing.left("l2", found) == (2, math.inf)


def test_a_budget_is_shared_out_and_earlier_commands_count(tmp_path: Path) -> None:
    choosing = _choosing(tmp_path, budget="100s")
    assert choosing.left("l2", []) == (math.inf, 50)
    clock = Clock(choosing.storage, "none", time.monotonic() - 60)
    clock.count(at_least=1000)
    assert spent(choosing.storage) == {}
    clock.count()
    assert spent(choosing.storage) == {"none": pytest.approx(60, abs=5)}
    assert choosing.left("none", []) == (math.inf, 0)
    assert choosing.left("l2", []) == (math.inf, 50), "what one takes too much is not the others'"
    assert not choosing.is_done()
    Clock(choosing.storage, "l2", time.monotonic() - 60).count()
    assert choosing.is_done()


def test_time_counts_from_the_first_setting_on(tmp_path: Path) -> None:
    clock = Clock(_choosing(tmp_path).storage, "none")
    clock.count()
    assert (spent(clock.storage), clock.seconds) == ({}, 0)
    clock.start()
    time.sleep(0.01)
    clock.count()
    clock.start()
    assert 0.01 <= spent(clock.storage)["none"] <= clock.seconds
    clock.stop()
    counted = spent(clock.storage)["none"]
    time.sleep(0.01)
    clock.count()
    assert spent(clock.storage)["none"] == counted == pytest.approx(clock.seconds)


def test_settings_belong_to_the_search_that_can_draw_them(tmp_path: Path) -> None:
    choosing = _choosing(tmp_path)

    def add(**options: object) -> Setting:
        runs = choosing.asked.choosing_runs("l2", options)
        setting = Setting(
            choosing.search("l2"), "l2", dict(options), [run.run_id for run in runs], 4
        )
        setting.write(choosing.storage)
        return setting

    own = add(lr=1e-3, l2_strength=1e-4)
    add(lr=0.5, l2_strength=1e-4)  # out of range
    add(lr=2e-3)  # searched less
    assert [one.setting for one in choosing.standings()] == [own]
    assert _choosing(tmp_path, tasks=5).standings() == []


def test_settings_with_lists_are_found_again(tmp_path: Path) -> None:
    choosing = _choosing(tmp_path, search="hidden=(64),(100,100) batch_size=16,32")
    options = {"hidden": (100, 100), "batch_size": 16}
    runs = [run.run_id for run in choosing.asked.choosing_runs("l2", options)]
    Setting(choosing.search("l2"), "l2", dict(options), runs, 4).write(choosing.storage)
    assert [one.setting.options for one in choosing.standings()] == [options]


def test_settings_with_another_fixed_option_are_those_of_another_search(tmp_path: Path) -> None:
    first = _choosing(tmp_path, search="lr=1e-3,1e-2", l2_strength=1e-3)
    other = _choosing(tmp_path, search="lr=1e-3,1e-2", l2_strength=1e-4)
    runs = [run.run_id for run in first.asked.choosing_runs("l2", {"lr": 1e-3})]
    Setting(first.search("l2"), "l2", {"lr": 1e-3}, runs, 4).write(first.storage)
    assert len(first.standings()) == 1
    assert other.standings() == []
    assert first.search("l2") != other.search("l2")
    assert first.search("none") == other.search("none")


_PLUGIN = """
from dataclasses import dataclass
from raylot import plugins
from raylot.training import Intervention


@dataclass
class Clip:
    clip_at: float = 0.1


@plugins.intervention("clipped", options=Clip)
class Clipped(Intervention):
    edited = False
"""


def test_settings_with_another_plugin_option_or_code_are_those_of_another_search(
    tmp_path: Path,
) -> None:
    def found(code: str, clip_at: float) -> int:
        plugins.forget()
        file = tmp_path / "mine.py"
        file.write_text(code)
        plugins.load(file)
        choosing = _choosing(
            tmp_path, interventions="clipped", search="lr=1e-3,1e-2", clip_at=clip_at
        )
        if not choosing.storage.names("settings"):
            runs = [run.run_id for run in choosing.asked.choosing_runs("clipped", {"lr": 1e-3})]
            Setting("", "clipped", {"lr": 1e-3}, runs, 4).write(choosing.storage)
        return len(choosing.standings())

    try:
        assert found(_PLUGIN, 0.1) == 1
        assert found(_PLUGIN, 0.2) == 0
        assert found(_PLUGIN.replace("edited = False", "edited = True"), 0.1) == 0
        assert found(_PLUGIN, 0.1) == 1
    finally:
        plugins.forget()
