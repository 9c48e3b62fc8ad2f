"""Every private part of Ray in use, but for Ray Tune's: names, variables, attributes.

``pyproject.toml`` bounds Ray's version because of this file. Tests of it, most of them in
``tests/unit/trials/test_ray_internals.py``, say what breaks without each part.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import secrets
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants, ray_logging, utils
from ray._private.node import Node
from ray.autoscaler.v2.utils import is_autoscaler_v2
from ray.experimental import internal_kv
from ray.util import placement_group_table

# -------------------------------------------------- before Ray starts

#: What the raylet says of lost workers and nodes; `Progress` tells the user instead.
_TOLD_ELSEWHERE = re.compile("worker died|Workers|killed|marked dead|Raylet is")

#: Variables from which Ray takes a token before it looks for the file.
_OTHER_TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


@contextlib.contextmanager
def terminal_and_signals_left_alone() -> Iterator[None]:
    """Stops Ray and Tune from writing to the terminal and from handling Ctrl-C.

    `Progress` shows the state of a sweep; Tune's tables and the raylet's lines would garble it.
    `InterruptGuard` ends a sweep at once; Tune's own handler first waits for the steps under way.
    If the user has chosen which of the raylet's lines to skip, that stays. The user's own Ray may
    go on afterwards, so it shows all lines again.
    """
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    for name in ("ray.tune", "ray.train"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    lines = ray_logging.stdout_deduplicator
    before, lines.skip_re = lines.skip_re, lines.skip_re or _TOLD_ELSEWHERE
    try:
        yield
    finally:
        lines.skip_re = before


@contextlib.contextmanager
def environment(variable: str, value: str | None) -> Iterator[None]:
    """Sets a variable of this process's environment while the context lasts; None: takes it out.

    Ray's callback for Weights & Biases would hand Ray the key that it finds in one, and Ray writes
    it into a log that all users of the machine can read.
    """
    before = os.environ.get(variable)
    _set(variable, value)
    try:
        yield
    finally:
        _set(variable, before)


def _set(variable: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = value


def import_what_starting_takes() -> None:
    """Imports what ``ray.init`` imports only once it is called.

    Two threads that import modules which need each other may find them half imported.
    """
    from ray._common.usage import usage_lib  # noqa: F401
    from ray._private.runtime_env import uv_runtime_env_hook  # noqa: F401
    from ray._private.thirdparty import pynvml  # noqa: F401

    utils.get_dashboard_dependency_error()  # imports them, if they are installed


def finds_running_ray() -> bool:
    """Returns whether ``ray.init`` without an address would join a Ray on this machine."""
    return bool(utils.read_ray_address())


@contextlib.contextmanager
def on_loopback() -> Iterator[None]:
    """Makes a Ray that is started in this context listen on 127.0.0.1 alone.

    Ray does so by itself on systems where it forms no clusters; one constant and one environment
    variable, which its processes inherit, say whether this is such a system.
    """
    forms_clusters, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    try:
        with environment(ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, "0"):
            yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = forms_clusters


@contextlib.contextmanager
def without_unused_processes() -> Iterator[None]:
    """Leaves out three processes of a Ray that is started in this context.

    They take a second of the cores as it starts. One copies to the driver what workers print, which
    raylot does not show; one adds nodes; one, the dashboard's if there is none, tells Ray's makers
    which features are in use.
    """
    names = ("start_log_monitor", "start_monitor", "start_api_server")
    begin = {name: getattr(Node, name) for name in names}
    for name in names:
        setattr(Node, name, lambda self, **options: None)
    try:
        yield
    finally:
        for name, start in begin.items():
            setattr(Node, name, start)


@contextlib.contextmanager
def workers_import(modules: Sequence[str]) -> Iterator[None]:
    """Makes the workers of a Ray that is started in this context import modules as they start.

    Ray starts a worker per core at once. Otherwise it stops them as soon as Tune reserves room for
    trials, as idle ones, before Tune makes actors of them.
    """
    with (
        environment("RAY_preload_python_modules", ",".join(modules)),
        environment("RAY_idle_worker_killing_time_threshold_ms", "60000"),
    ):
        yield


def protect_token() -> None:
    """Makes sure that only this user can read the token of local clusters, if Ray will use one.

    Ray before 2.60.1 lets all users read the file that it writes.
    """
    mode = os.environ.get("RAY_AUTH_MODE", "token").lower()
    if mode != "token" or any(os.environ.get(name) for name in _OTHER_TOKENS):
        return
    file = Path.home() / ".ray" / "auth_token"
    file.parent.mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_hex(32))
    with contextlib.suppress(PermissionError):  # another user's file, who may have chosen so
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            file.chmod(0o600)


def job_environment() -> dict[str, Any]:
    """Returns the runtime environment of the submitted job that this process belongs to, or {}."""
    job = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR") or "{}")
    return job.get("runtime_env") or {}


# -------------------------------------------------- of a running cluster


def placement_groups() -> dict[str, str]:
    """Returns the room that Tune holds or waits for in this job: placement group -> its state."""
    if not ray.is_initialized():
        return {}
    job = ray.get_runtime_context().get_job_id()  # the ids end with it
    groups = {id: group["state"] for id, group in placement_group_table().items()}
    return {id: s for id, s in groups.items() if id.endswith(job) and s != "REMOVED"}


def has_placed_trials() -> bool:
    """Returns whether the cluster has made room for a trial of this job: a worker is starting."""
    return "CREATED" in placement_groups().values()


def is_autoscaling() -> bool:
    """Returns whether the cluster adds nodes by itself: its nodes' types are then configured."""
    if is_autoscaler_v2(fetch_from_server=True):
        return True
    status = internal_kv._internal_kv_get("__autoscaling_status") or b"{}"
    types = (json.loads(status).get("autoscaler_report") or {}).get("node_type_mapping") or {}
    return any(not str(name).startswith(("node_", "local.")) for name in types.values())


def set_title(label: str) -> None:
    """Names this process, if it is an actor's, until the end of the method that Ray has called.

    ``top`` and Ray's dashboard show it. Ray itself asks an actor for its name only once, when it
    creates the actor, but an actor computes run after run.
    """
    if ray.is_initialized() and ray.get_runtime_context().get_actor_id():
        ray._raylet.setproctitle(f"ray::{label}")  # type: ignore[attr-defined]
