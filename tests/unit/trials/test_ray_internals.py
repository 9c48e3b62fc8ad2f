"""What raylot relies on in Ray's private parts is still there, and does what it is used for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.tune.execution import class_cache
from ray.util.placement_group import placement_group, remove_placement_group

from raylot.config import SweepOptions
from raylot.sweep.cluster import ray_session
from raylot.sweep.execution import Losses, _Listener
from raylot.sweep.interrupt_guard import InterruptGuard
from raylot.terminal.progress import STARTING_WORKERS
from raylot.trials import ray_internals


def test_tune_copies_no_credentials_to_workers() -> None:
    ray_internals.keep_credentials_here()
    assert class_cache.ENV_VARS_TO_PROPAGATE
    assert not [name for name in class_cache.ENV_VARS_TO_PROPAGATE if name.startswith("AWS")]


def test_nor_does_it_in_a_session_that_is_open_already(monkeypatch: pytest.MonkeyPatch) -> None:
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
    with ray_internals.hidden("WANDB_API_KEY"):
        assert "WANDB_API_KEY" not in os.environ
    assert os.environ["WANDB_API_KEY"] == "a-key"
    with ray_internals.hidden("RAYLOT_NEVER_SET"):
        pass
    assert "RAYLOT_NEVER_SET" not in os.environ


def test_room_for_a_trial_is_told_from_waiting_for_room() -> None:
    with ray_session(SweepOptions(address="local")):
        assert not ray_internals.has_placed_trials()
        waiting = placement_group([{"CPU": 1000}])
        assert not waiting.wait(2)
        assert not ray_internals.has_placed_trials()
        placed = placement_group([{"CPU": 1}])
        assert placed.wait(60)
        assert ray_internals.has_placed_trials()
        remove_placement_group(placed)
        remove_placement_group(waiting)


class _Heard:
    """Of the progress, what is waited for."""

    def __init__(self) -> None:
        self.waited_for: list[str] = []

    def wait_for(self, what: str) -> None:
        self.waited_for.append(what)


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
    monkeypatch.setattr("raylot.sweep.execution.ray.nodes", lambda: [{"Alive": True}])
    monkeypatch.setattr("raylot.sweep.execution._WAITING", -1.0)
    heard: Any = _Heard()
    _Listener(heard, Losses(), {"cpu": 1.0, "gpu": 0.0}, InterruptGuard("")).on_step_end(1, [])
    assert heard.waited_for == [said]
