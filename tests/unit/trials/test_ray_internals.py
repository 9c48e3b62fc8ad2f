"""Ray's private parts still do what raylot uses them for; each test says what breaks otherwise.

`set_title` is tested in a sweep (``tests/unit/sweep/test_sweep.py``).
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import ray
from ray._private import ray_logging, utils
from ray._private.node import Node
from ray._private.ray_logging import LogDeduplicator
from ray.air._internal import usage
from ray.experimental import internal_kv
from ray.train._internal.storage import StorageContext
from ray.tune import tune as tune_module
from ray.tune.execution import class_cache
from ray.tune.experiment import Trial
from ray.tune.experimental.output import get_air_verbosity
from ray.tune.logger import LoggerCallback
from ray.util.placement_group import placement_group, remove_placement_group

from raylot.config import SweepOptions
from raylot.sweep.batches import Losses, Reports
from raylot.sweep.cluster import ray_session
from raylot.sweep.experiment import _Listener
from raylot.sweep.interrupt_guard import InterruptGuard
from raylot.sweep.ray_start import RayStart
from raylot.terminal.progress import STARTING_WORKERS
from raylot.trials import ray_internals, tune_internals


def test_ray_is_of_a_version_that_this_file_was_tested_with() -> None:
    """Else a new Ray may break any of the following without a word."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    wanted = [each for each in itertools.chain(*lists) if re.match(r"ray\b", each)]
    assert {each.partition("]")[2] for each in wanted} == {">=2.60,<2.61"}
    assert ray.__version__.startswith("2.60.")


def test_the_raylets_lines_on_lost_workers_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else they garble the live picture of a sweep."""
    for name in ("RAY_AIR_NEW_OUTPUT", "TUNE_DISABLE_SIGINT_HANDLER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(ray_logging.stdout_deduplicator, "skip_re", None)
    told = {"lines": ["A worker died or was killed", "something else"], "pid": "raylet"}
    with ray_internals.terminal_and_signals_left_alone():
        (shown,) = ray_logging.stdout_deduplicator.deduplicate({**told, "ip": "", "is_err": False})
    assert shown["lines"] == ["something else"]
    # Else a user's own Ray, which goes on, would hide these lines for good.
    assert ray_logging.stdout_deduplicator.skip_re is None
    # Else Tune draws tables, and takes Ctrl-C until the steps under way have ended.
    assert get_air_verbosity(0) is None
    handler = signal.getsignal(signal.SIGINT)
    assert not tune_module._setup_signal_catching().is_set()
    assert signal.getsignal(signal.SIGINT) is handler


def test_lines_that_the_user_has_chosen_to_skip_stay_skipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ray reads RAY_DEDUP_LOGS_SKIP_REGEX once, when it is imported."""
    chosen = LogDeduplicator(5, None, "my own").skip_re
    monkeypatch.setattr(ray_logging.stdout_deduplicator, "skip_re", chosen)
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 1.0}}])
    with ray_session(SweepOptions()):
        assert ray_logging.stdout_deduplicator.skip_re is chosen
    assert ray_logging.stdout_deduplicator.skip_re is chosen


def test_no_session_copies_credentials_to_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else they stand in a log that all users of the machine can read."""
    assert class_cache.ENV_VARS_TO_PROPAGATE
    monkeypatch.setattr(class_cache, "ENV_VARS_TO_PROPAGATE", {"AWS_SESSION_TOKEN", "OTHER"})
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 1.0}}])
    with ray_session(SweepOptions()):
        assert {"OTHER"} == class_cache.ENV_VARS_TO_PROPAGATE


_TOKEN_VARIABLES = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder without a token, and an environment that names none."""
    for name in _TOKEN_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_a_token_is_made_for_its_user_alone_and_kept(home: Path) -> None:
    ray_internals.protect_token()
    file = home / ".ray" / "auth_token"
    token = file.read_text()
    assert len(token) == 64
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    ray_internals.protect_token()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text() == token


@pytest.mark.parametrize(
    ("name", "value"), list(zip(_TOKEN_VARIABLES, ("disabled", "a", "/b"), strict=True))
)
def test_no_token_is_made_where_ray_uses_none_or_another(
    name: str, value: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container, a user may have no folder that could be written."""
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(home / "nowhere" / "home"))
    ray_internals.protect_token()
    assert not list(home.iterdir())


def test_a_hidden_variable_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a-key")
    with ray_internals.environment("WANDB_API_KEY", None):
        assert "WANDB_API_KEY" not in os.environ
    assert os.environ["WANDB_API_KEY"] == "a-key"
    with ray_internals.environment("RAYLOT_NEVER_SET", None):
        pass
    assert "RAYLOT_NEVER_SET" not in os.environ


def test_a_ray_that_runs_here_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a sweep that joins it would restrict it to this machine."""
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert not ray_internals.finds_running_ray()
    file = Path(utils.get_ray_address_file(None))
    file.parent.mkdir(exist_ok=True)
    file.write_text("127.0.0.1:6379")
    assert ray_internals.finds_running_ray()


@pytest.fixture(scope="module")
def session() -> Iterator[None]:
    options = SweepOptions(address="local")
    start = RayStart(options, trials=10_000)
    start.begin()
    with ray_session(options, start=start):
        yield


@pytest.mark.usefixtures("session")
def test_a_ray_of_ones_own_listens_on_loopback() -> None:
    """Else other machines could reach it."""
    assert [node["NodeManagerAddress"] for node in ray.nodes()] == ["127.0.0.1"]


@pytest.mark.usefixtures("session")
def test_a_ray_of_ones_own_has_no_process_without_use() -> None:
    """Else they take a second of the cores before anything trains."""
    children = [c for c in psutil.Process().children() if c.status() != psutil.STATUS_ZOMBIE]
    started = [" ".join(child.cmdline()) for child in children]
    assert any("gcs_server" in line for line in started)
    assert any("raylet" in line for line in started)
    unused = ("log_monitor.py", "monitor.py", "dashboard.py")
    assert not [line for line in started if any(name in line for name in unused)]
    assert "<lambda>" not in Node.start_api_server.__qualname__


def test_tune_does_not_count_callbacks() -> None:
    """Else it imports MLflow and Weights & Biases wherever they are installed."""
    assert tune_module.air_usage is usage  # which Tune asks
    counts = usage.tag_callbacks
    with tune_internals.callbacks_left_uncounted():
        assert usage.tag_callbacks([LoggerCallback()]) is False
        assert usage.tag_callbacks is not counts
    assert usage.tag_callbacks is counts


@pytest.mark.usefixtures("session")
def test_room_for_a_trial_is_told_from_waiting_for_room() -> None:
    """Else the user is told to wait for a node where workers are starting."""
    assert not ray_internals.has_placed_trials()
    waiting = placement_group([{"CPU": 1000}])
    assert not waiting.wait(2)
    assert not ray_internals.has_placed_trials()
    placed = placement_group([{"CPU": 1}])
    assert placed.wait(60)
    assert ray_internals.has_placed_trials()
    remove_placement_group(placed)
    remove_placement_group(waiting)


class _Told:
    """What Tune makes an actor of."""

    def told(self) -> tuple[int, bool, list[str]]:
        return os.getpid(), "raylot.trials.kinds" in sys.modules, sorted(os.environ)


@pytest.mark.usefixtures("session")
def test_tunes_actors_are_workers_that_have_started_and_imported_what_trials_need() -> None:
    """Else each imports for seconds once the first trials could run."""
    ready = ray.remote(num_cpus=0)(lambda: None)
    ray.get(ready.remote())  # Ray's first workers have registered
    begun = time.time()
    with tune_internals.any_worker_serves():
        actor = class_cache._ActorClassCache().get(_Told).options(num_cpus=1).remote()
        pid, has_imported, environment = ray.get(actor.told.remote())
    assert psutil.Process(pid).create_time() < begun
    assert has_imported
    assert "PL_DISABLE_FORK" not in environment
    assert class_cache.DEFAULT_ENV_VARS, "other users of Tune have it again"
    ray.kill(actor)


@pytest.mark.usefixtures("session")
def test_whether_nodes_are_added_by_themselves_is_told_by_their_types() -> None:
    """Else a trial that no node can hold is refused, though one would be added.

    This cluster's nodes are not; the second report is an autoscaling one's, as Ray writes it.
    """
    key = "__autoscaling_status"
    assert not ray_internals.is_autoscaling()
    before = internal_kv._internal_kv_get(key)
    report = {"autoscaler_report": {"node_type_mapping": {"ffff": "ray.head.default"}}}
    internal_kv._internal_kv_put(key, json.dumps(report), overwrite=True)
    assert ray_internals.is_autoscaling()
    internal_kv._internal_kv_put(key, before or b"{}", overwrite=True)


@pytest.mark.usefixtures("session")
def test_what_callbacks_ask_of_a_trial(tmp_path: Path) -> None:
    """Else TensorBoard shows nothing, and nobody knows which run has lost its worker."""
    config = {"kind": "stream", "shared": {"lr": 0.1}, "run": {"seed": 3}}
    place = StorageContext(str(tmp_path), "experiment", trial_dir_name="trial")
    trial = Trial("StreamTrial", config=config, storage=place, evaluated_params=config, stub=True)
    assert tune_internals.trial_folder(trial).name == "trial"
    assert tune_internals.trial_kind(trial) == "stream"
    assert tune_internals.trial_options(trial) == {"lr": 0.1, "seed": 3}
    assert tune_internals.searched_options(trial) == {"seed": 3}
    assert tune_internals.trial_error(trial) == "no reason is known"
    trial.init_local_path()
    trial.handle_error(RuntimeError("its actor died"))
    shutil.copytree(trial.local_path, trial.storage.trial_fs_path)  # as Tune does
    assert "its actor died" in tune_internals.trial_error(trial)


@pytest.mark.parametrize(
    ("placed", "said"),
    [
        (True, STARTING_WORKERS),
        (False, "no trial is running: waiting for a node with 1 CPUs free (1 nodes are up)"),
    ],
)
def test_a_node_is_waited_for_only_where_there_is_no_room(
    placed: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_internals, "has_placed_trials", lambda: placed)
    monkeypatch.setattr("raylot.sweep.experiment.alive_nodes", lambda: [{"CPU": 1.0}])
    monkeypatch.setattr("raylot.sweep.experiment._WAITING", -1.0)
    told: list[str] = []
    progress: Any = SimpleNamespace(wait_for=told.append)
    reports = Reports(progress, Losses())
    _Listener(reports, {"cpu": 1.0, "gpu": 0.0}, InterruptGuard("")).on_step_end(1, [])
    assert told == [said]
