"""The undisturbed sweep that every disturbed one must equal."""

from __future__ import annotations

from pathlib import Path

import pytest

from raylot.command.arguments import parse
from raylot.results.integrity import ended_runs
from raylot.storage import Storage
from raylot.sweep import study_spaces
from raylot.sweep.sweep import Sweep
from raylot.trials.kinds import TRIALS
from tests.faults.processes import TINY
from tests.unit.trials.runs import finish, run_config


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with the tiny sweep, computed run by run in this process, without Ray."""
    root = tmp_path_factory.mktemp("undisturbed")
    study, storage = parse("", "undisturbed", TINY).study, Storage(root)
    for stage in Sweep(study, storage, *study_spaces(study)).stages:
        for run in stage.ready(ended_runs(storage), storage):
            finish(TRIALS[run.kind](run_config(run, storage.root)))
    return root
