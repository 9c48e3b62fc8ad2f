"""How many settings may still be tried, and for how long, by what the storage says."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest

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
    assert choosing.left("l2", [])[1] == pytest.approx(40, abs=5)
    assert not choosing.is_done()
    Clock(choosing.storage, "l2", time.monotonic() - 40).count()
    assert choosing.is_done()


def test_settings_belong_to_the_search_that_can_draw_them(tmp_path: Path) -> None:
    choosing = _choosing(tmp_path)

    def add(search: str, **options: object) -> Setting:
        runs = choosing.asked.choosing_runs("l2", options)
        setting = Setting(search, "l2", dict(options), [run.run_id for run in runs], 4)
        setting.write(choosing.storage)
        return setting

    own = add(choosing.search, lr=1e-3, l2_strength=1e-4)
    add("another search", lr=1e-3, l2_strength=1e-3)
    add(choosing.search, lr=0.5, l2_strength=1e-4)  # out of range
    add(choosing.search, lr=2e-3)  # searched less
    assert [one.setting for one in choosing.standings()] == [own]
    assert _choosing(tmp_path, tasks=5).standings() == []


def test_settings_with_lists_are_found_again(tmp_path: Path) -> None:
    choosing = _choosing(tmp_path, search="hidden=(64),(100,100) batch_size=16,32")
    options = {"hidden": (100, 100), "batch_size": 16}
    runs = [run.run_id for run in choosing.asked.choosing_runs("l2", options)]
    Setting(choosing.search, "l2", dict(options), runs, 4).write(choosing.storage)
    assert [one.setting.options for one in choosing.standings()] == [options]
