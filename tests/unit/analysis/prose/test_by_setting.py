"""The table by what was searched."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from raylot.analysis.primary import find
from raylot.analysis.prose.by_setting import by_setting
from raylot.analysis.tables.observations import observe, settings
from raylot.config import Study
from raylot.storage import Storage
from tests.unit.analysis.studies import falling, write_study


def shown(root: Path) -> str | None:
    found = settings(observe(Storage(root)))
    table = by_setting(found, [find(one) for one in found])
    if table is None:
        return None
    text = StringIO()
    Console(width=80, file=text).print(table)
    return text.getvalue()


def test_twenty_settings_can_be_read_in_eighty_columns(tmp_path: Path) -> None:
    study = Study.checked(
        search="lr=loguniform(1e-4,1e-2) weight_decay=loguniform(1e-6,1e-2)", samples=20
    )
    [rows] = study.searched.values()
    for lr, decay in rows:
        write_study(tmp_path, falling, seeds=range(2), tasks=(0, 10), lr=lr, weight_decay=decay)
    titles = [one.title for one in settings(observe(Storage(tmp_path)))]
    told = [title.partition("protocol ")[2].partition(", ")[2] for title in titles]
    assert sorted(told) == sorted(f"lr={lr:g}, weight_decay={decay:g}" for lr, decay in rows)
    table = shown(tmp_path)
    assert table is not None
    for lr, decay in rows:
        assert len(re.findall(rf"^{lr:g} +{decay:g} +permuted_pixels ", table, re.MULTILINE)) == 1


def test_doses_of_an_intervention_are_lines(tmp_path: Path) -> None:
    write_study(tmp_path, falling)
    for strength in (1e-3, 1e-2):
        write_study(tmp_path, falling, intervention="l2", l2_strength=strength)
    table = shown(tmp_path)
    assert table is not None
    lines = table.splitlines()
    assert [line.split()[0] for line in lines if "permuted" in line] == [
        "none", "l2(1e-3)", "l2(0.01)"
    ]  # fmt: skip


def test_many_options_share_a_column_in_which_they_are_whole(tmp_path: Path) -> None:
    searched: list[dict[str, Any]] = [
        {"search_task": "own"},
        {"search_task": "probe", "tickets": 6, "random_masks": 3, "lr": 0.02},
    ]
    for options in searched:
        write_study(tmp_path, falling, shifts=("permuted_pixels", "stationary"), **options)
    table = shown(tmp_path)
    assert table is not None
    assert table.index("search_task=own") < table.index("search_task=probe")
    for line in ("search_task=own", "search_task=probe", "tickets=6", "random_masks=3", "lr=0.02"):
        assert len(re.findall(rf"^{line} ", table, re.MULTILINE)) == 1
    for stream in ("permuted_pixels", "stationary"):
        assert table.count(f" {stream} ") == 2
    assert re.search(r"^setting +stream ", table, re.MULTILINE)


@pytest.mark.parametrize("interventions", [("none",), ("none", "reset")])
def test_without_a_search_there_is_no_table(tmp_path: Path, interventions: tuple[str, ...]) -> None:
    for intervention in interventions:
        write_study(tmp_path, falling, intervention=intervention)
    assert shown(tmp_path) is None
