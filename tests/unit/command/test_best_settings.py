"""The file of the best settings, as another study reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from raylot.command.arguments import parse
from raylot.command.best_settings import _as_yaml, options_of
from raylot.command.main import main
from raylot.config import Study
from raylot.config.search_axes import options_of as options_in
from raylot.config.settings_search import SettingsSearch
from raylot.results.settings import Setting, Standing

_GIVEN = {
    "interventions": "none,l2", "seeds": "3-4", "choosing_seeds": "0-1", "tasks": 4,
    "snapshots": "2", "shifts": "noise",
}  # fmt: skip


def _best(study: SettingsSearch) -> dict[str, Standing]:
    """The first values of each option for none, the last for l2."""
    chosen = {}
    for place, name in ((0, "none"), (-1, "l2")):
        options = {n: one.arguments[place] for n, one in study.space(name).items()}
        chosen[name] = Standing(Setting("", name, options, [], 4), "finished", [0.5], 4)
    return chosen


def _read_again(options: Mapping[str, Any], folder: Path) -> Study:
    file = folder / "best.yaml"
    file.write_text(_as_yaml(options))
    return parse("", "name", ["--config", str(file)]).study


@pytest.mark.parametrize(
    ("search", "others"),
    [
        ("lr=choice(1e-3,2e-2) l2_strength=choice(1e-7,1e-3)", {}),
        ("clip_norm=none,1", {}),
        ("drop_last=false,true carry_optimizer=true,false", {}),
        ("hidden=(64),(100,100)", {}),
        ("step_at=(0.5),(0.25,0.75)", {"schedule": "step"}),
        ("optimizer=adam,sgd", {}),
        ("epochs=1,2 batch_size=16,32", {}),
        ("fraction=0.5,1 noise_step=0.01,0.02", {"shifts": "noise,permuted_pixels"}),
    ],
)
def test_the_best_settings_are_read_as_they_were_searched(
    search: str, others: dict[str, Any], tmp_path: Path
) -> None:
    study = SettingsSearch.checked(**{**_GIVEN, **others, "search": search})
    chosen = _best(study)
    again = _read_again(options_of(study, chosen), tmp_path)
    ((axis, rows),) = again.searched.items()
    assert [row[0] for row in rows] == ["none", "l2"]
    for row in rows:
        told = dict(zip(options_in(axis), row, strict=True))
        for name, value in chosen[row[0]].setting.options.items():
            assert (told[name], type(told[name])) == (value, type(value))


def test_what_the_search_held_fixed_is_read_as_it_was(tmp_path: Path) -> None:
    fixed = {
        "hidden": "100,100", "drop_last": True, "clip_norm": 1, "carry_optimizer": True,
        "schedule": "step", "step_at": "0.25", "batch_size": 16,
    }  # fmt: skip
    study = SettingsSearch.checked(**{**_GIVEN, **fixed, "search": "lr=1e-3,1e-2"})
    again = _read_again(options_of(study, _best(study)), tmp_path)
    names = [*fixed, "seeds", "shifts", "tasks", "snapshots", "interventions"]
    wanted = {name: getattr(study, name) for name in names}
    assert {name: getattr(again, name) for name in names} == wanted


def test_a_dry_run_downloads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(options: Any) -> None:
        raise AssertionError("read")

    monkeypatch.setattr("raylot.tasks.datasets.check_available", read)
    words = ["sweep", "best-settings", "--dry-run", f"--storage={tmp_path / 'storage'}"]
    of_data = ["--dataset", "mnist", "--download", f"--data-root={tmp_path / 'data'}"]
    assert main([*words, *of_data]) == 0
    assert "none: 0 settings tried, 16 settings to go" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_says_what_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sweep", "best-settings", "--dry-run", f"--storage={tmp_path / 'storage'}"]
    assert main([*words, "--interventions", "none,l2", "--shrink", "0.5"]) == 0
    assert "shrink: used by none of the chosen interventions" in capsys.readouterr().out
