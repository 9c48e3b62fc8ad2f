"""Studies run from Python, wherever a notebook may run them, and end with their results."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import ray

import raylot
from raylot import plugins
from raylot.results.commands import commands
from raylot.storage import Storage
from raylot.sweep import study_spaces
from tests.support.tables import assert_same_tables
from tests.unit.trials.runs import TINY, run_all

_STUDY = {
    **TINY, "ticket_tasks": 0, "snapshots": [2], "shifts": ["permuted_pixels"], "seeds": [0],
    "sparsities": 0.5, "rewired_masks": 0, "reinit_tickets": 0, "save_interval": 0,
    "max_concurrent": 1,
}  # fmt: skip

#: A shift of which the third task cannot be made.
_BROKEN = """
from raylot import plugins

@plugins.shift("broken")
def broken(dataset, options, key, t):
    if t == 2:
        raise RuntimeError("no such task")
    return dataset
"""


@pytest.fixture(scope="module", autouse=True)
def _a_ray_of_the_user() -> Iterator[None]:
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    assert ray.is_initialized()
    ray.shutdown()
    with warnings.catch_warnings():
        # Tune leaves files of an interrupted experiment open. Collected later, they would fail a
        # test that takes warnings for errors.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def _run(root: str | Path, **options: Any) -> raylot.Results:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        return raylot.run(raylot.Study(**{**_STUDY, **options}), root)


def test_it_computes_what_the_trials_compute(tmp_path: Path) -> None:
    found = _run(tmp_path / "run")
    run_all(
        tmp_path / "alone",
        **{**TINY, "ticket_tasks": 0, "snapshots": "2", "rounds": 2, "search_task": "probe"},
    )
    assert_same_tables(tmp_path / "alone", found.root)
    (command,) = commands(Storage(found.root))
    assert command.line.startswith("raylot.run(Study(")


def test_a_thread_and_an_event_loop_may_run_it_one_after_the_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ThreadPoolExecutor(1) as thread:
        assert len(thread.submit(_run, tmp_path).result(timeout=300).runs) == 6
    assert "tickets: 1 of 1 runs finished" in capsys.readouterr().err

    async def cell() -> raylot.Results:
        return _run(tmp_path, seeds=range(2))

    found = asyncio.run(cell())
    assert sorted(found.runs["seed"]) == [0] * 6 + [1] * 6
    assert len(_run(tmp_path, seeds=range(2)).runs) == 2 * 6


def test_an_interruption_is_raised_and_the_same_call_continues(tmp_path: Path) -> None:
    def spaces(study: Any) -> Any:
        streams, tickets, ticket_streams = study_spaces(study)
        return {**streams, "lr": ray.tune.grid_search([0.01, 0.02])}, tickets, ticket_streams

    def stop() -> None:
        while not list(tmp_path.glob("tables/tasks/*")):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)  # the second one ends no kernel

    study = raylot.Study(**{**_STUDY, "tasks": 12, "engine": "generic"})
    handler = signal.getsignal(signal.SIGINT)
    threading.Thread(target=stop, daemon=True).start()
    with pytest.raises(KeyboardInterrupt, match="the same call continues"):
        raylot.run(study, tmp_path, spaces=spaces)
    assert signal.getsignal(signal.SIGINT) is handler
    assert len(raylot.open(tmp_path).runs) < 2 * 6
    found = raylot.run(study, tmp_path, spaces=spaces)
    assert set(found.runs["status"]) == {"finished"}
    assert sorted(found.runs["lr"]) == [0.01] * 6 + [0.02] * 6
    with pytest.raises(raylot.OptionError, match=r"^lr: must be given, as 2 runs match \(lr: one"):
        found.tickets()


@pytest.mark.slow  # faster: more samples only add in test_search_axes.py
def test_draws_are_replicated_over_seeds_and_more_samples_only_add(tmp_path: Path) -> None:
    asked = {
        "search": {"lr": [0.01, 0.02], "weight_decay": "loguniform(1e-6,1e-2)"},
        "seeds": [0, 1], "probe_tasks": 0, "tickets": 1, "rounds": 1, "snapshots": [0],
        "tasks": 1, "max_concurrent": 2,
    }  # fmt: skip
    options = {**{name: value for name, value in _STUDY.items() if name != "lr"}, **asked}
    one, two = (raylot.Study(**options, samples=samples) for samples in (1, 2))
    first = raylot.run(one, tmp_path).runs.set_index("run_id")
    more = raylot.run(two, tmp_path).runs.set_index("run_id")
    assert set(more["status"]) == {"finished"}
    assert len(more) == 2 * len(first)
    pd.testing.assert_frame_equal(more.loc[first.index], first)
    tickets = more[more["kind"] == "tickets"]
    assert (
        tickets.groupby(["protocol", "lr", "weight_decay"])["seed"].apply(list).map(sorted).tolist()
        == [[0, 1]] * 4
    )
    [title, *_] = raylot.open(tmp_path).answer().splitlines()
    assert re.search(r"lr=0.0[12], weight_decay=[0-9.e-]+$", title)


def test_failed_runs_are_a_warning(tmp_path: Path) -> None:
    plugin = tmp_path / "broken.py"
    plugin.write_text(_BROKEN)
    plugins.load(plugin)
    study = raylot.Study(**{**_STUDY, "shifts": ["stationary", "broken"]})
    with pytest.warns(
        UserWarning, match=r"^1 runs failed and 5 are missing \(the first: stream .*no such task"
    ) as of:
        found = raylot.run(study, tmp_path / "study")
    # Importing Ray may warn too, of things of its own.
    (own,) = [each for each in of if "runs failed" in str(each.message)]
    assert own.filename == __file__
    failed = found.runs.query("status == 'failed'")
    assert failed["error"].tolist() == ["RuntimeError: no such task (at broken.py:7)"]
    assert found.tickets(shift="stationary").accuracies
    plugins.forget()


def test_a_mistake_is_one_line_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(raylot.OptionError, match=r"^study: must be a raylot\.Study, not a dict$"):
        raylot.run(_STUDY, tmp_path)  # type: ignore[arg-type]
    for storage in (tmp_path / "file", ""):
        with pytest.raises(raylot.OptionError, match=r"^storage=.*: must be a folder"):
            _run(storage)
    with pytest.raises(raylot.OptionError, match=r"^data_root is not given: "):
        _run(tmp_path, dataset="mnist")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_study_names_its_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_all(tmp_path / "results/mine", **{**TINY, "ticket_tasks": 0, "snapshots": "2", "rounds": 2})
    study = raylot.Study(**_STUDY, name="mine")
    assert raylot.run(study).root == str(tmp_path / "results/mine")  # where nothing is left to do
