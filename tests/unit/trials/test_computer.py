"""The table of runs says what computed each of them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import raylot
from raylot import plugins, results
from raylot.trials.computer import computer
from raylot.trials.stream import StreamTrial
from tests.support import oldest
from tests.unit.foundation.test_git import git
from tests.unit.trials.runs import finish, trial_config


def test_a_run_names_its_machine_and_commits(tmp_path: Path) -> None:
    plugins.forget()
    git(tmp_path, "init", "-q", ".")
    (tmp_path / "oldest.py").write_text(oldest.OLDEST)
    git(tmp_path, "add", "oldest.py")
    git(tmp_path, "commit", "-qm", "mine")
    oldest.load(tmp_path)
    for intervention in ("oldest", "none"):
        finish(StreamTrial(trial_config(tmp_path / "root", intervention=intervention)))
    oldest.load(tmp_path, f"{oldest.OLDEST}\nDEFINED = 1\n")
    finish(StreamTrial(trial_config(tmp_path / "root", intervention="oldest")))
    runs = results.read(tmp_path / "root", "runs").sort_values("started")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert runs["plugin_commits"].fillna("").tolist() == [
        f"oldest.py:{head}", "", f"oldest.py:{head}-dirty"
    ]  # fmt: skip
    assert runs["run_id"].nunique() == 3
    assert set(runs["host"]) == {socket.gethostname()}
    assert set(runs["cpu_threads"]) == {os.cpu_count()}
    assert set(runs["cpu_model"]) == {computer()["cpu_model"]} != {""}
    plugins.forget()


def test_raylots_commit_is_that_of_the_clone_that_runs(tmp_path: Path) -> None:
    """Here of a copy of the package, without a clone, in one, and changed there."""
    shutil.copytree(Path(raylot.__file__).parent, tmp_path / "raylot")
    assert _said_in(tmp_path) == "None"
    git(tmp_path, "init", "-q", ".")
    git(tmp_path, "add", "raylot")
    git(tmp_path, "commit", "-qm", "copied")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert _said_in(tmp_path) == head
    with (tmp_path / "raylot" / "__init__.py").open("a") as file:
        file.write("CHANGED = True\n")
    assert _said_in(tmp_path) == f"{head}-dirty"


def _said_in(folder: Path) -> str:
    code = "from raylot.trials.computer import computer; print(computer()['raylot_commit'])"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()
