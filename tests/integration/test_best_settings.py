"""The search for good settings as a user runs it: killed on the way, continued, taken on."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from raylot import results
from raylot.command import main
from raylot.results.integrity import inspect
from raylot.storage import Storage

_SCRIPT = Path(__file__).parents[2] / "sweeps" / "best_settings.py"
_TINY = [
    "--address", "local", "--tasks", "8", "--snapshots", "0", "--epochs", "2", "--hidden", "16",
    "--interventions", "none,l2", "--trials", "4", "--choosing-seeds", "0,1", "--seeds", "2-4",
    "--save-interval", "0", "--max-concurrent", "1",
]  # fmt: skip


def _command(storage: Path) -> list[str]:
    return [sys.executable, str(_SCRIPT), *_TINY, "--storage", str(storage)]


def test_a_killed_search_continues_and_reports_the_best_on_fresh_seeds(tmp_path: Path) -> None:
    process = subprocess.Popen(
        _command(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 200
    while len(list(tmp_path.glob("settings/*.json"))) < 3 and time.monotonic() < deadline:
        assert process.poll() is None, "the search ended before it was killed"
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    ended = {path: path.stat().st_mtime_ns for path in tmp_path.glob("tables/runs/*.parquet")}

    done = subprocess.run(
        _command(tmp_path), capture_output=True, text=True, check=False, timeout=400
    )
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in ended} == ended, "a run was computed twice"
    assert not inspect(Storage(tmp_path), artifacts=True).damages
    said = re.search(r"8 settings tried on 2 streams each; ASHA stopped (\d+) of 16", done.stdout)
    assert said is not None, done.stdout

    settings = pd.read_csv(tmp_path / "analysis" / "settings.csv")
    assert list(settings["intervention"]) == ["l2"] * 4 + ["none"] * 4
    assert set(settings["status"]) <= {"finished", "stopped"}
    stopped = settings[settings["status"] == "stopped"]
    assert 2 * len(stopped) == int(said[1])
    runs = results.read(tmp_path, "runs").set_index("run_id")
    for _, setting in settings.iterrows():
        own = runs.loc[setting["run_ids"].split(",")]
        assert set(own["seed"]) == {0, 1}
        assert (own["tasks"] >= setting["tasks"]).all()
    assert (stopped["tasks"] < 8).all()

    best = pd.read_csv(tmp_path / "analysis" / "best_settings.csv")
    assert list(best["intervention"]) == ["none", "none", "l2", "l2"]
    assert set(best["seeds"]) == {3}
    whole = settings[settings["status"] == "finished"].groupby("intervention")["accuracy"].max()
    assert dict(zip(best["intervention"], best["choosing_accuracy"], strict=True)) == dict(whole)
    assert (tmp_path / "analysis" / "figures" / "best_settings.png").stat().st_size > 1000

    plan = subprocess.run(
        [sys.executable, "-m", "raylot", "sweep", "ticket-count-vs-plasticity", "--dry-run",
         "--config", str(tmp_path / "best.yaml"), "--storage", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert plan.returncode == 0, plan.stderr
    assert re.search(r"streams +6 +6 +0 +0", plan.stdout), plan.stdout
    assert len(list(tmp_path.glob("settings/*.json"))) == 8
    assert len(json.loads((tmp_path / "best.json").read_text())) == 2
    assert json.loads((tmp_path / "choosing" / "spent.json").read_text()).keys() == {"none", "l2"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--budget", "0s"], "error: --budget=0s: must be a time greater than 0 with its unit"),
        (["--budget", "2"], "error: --budget=2: must be a time greater than 0 with its unit"),
        (["--seeds", "1-3"], "error: --choosing-seeds=0,1: must share no seed with seeds, on"),
        (["--search", "lerning_rate=1"], "error: --search=lerning_rate=1: must be an option"),
        (["--search", "shrink=uniform(0,1)"], "error: --search=shrink=uniform(0,1): must go with"),
        (["--search", "lr=loguniform(1,0)"], "error: --search=lr=loguniform(1,0): must have low"),
    ],
)
def test_a_mistake_is_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(["sweep", "best-settings", *_TINY, "--storage", str(tmp_path), *words])
    told = capsys.readouterr().err
    assert (ended.value.code, told.count("\n")) == (2, 1)
    assert told.startswith(message)
    assert not list(tmp_path.iterdir())


def test_without_optuna_one_line_says_how_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "optuna" else find(name)
    )
    with pytest.raises(SystemExit) as ended:
        main.main(["sweep", "best-settings", *_TINY, "--storage", str(tmp_path)])
    told = capsys.readouterr().err
    assert (ended.value.code, told.count("\n")) == (2, 1)
    assert told.endswith("pip install -e '.[search]' does it\n")
