"""Every private part of Ray that sweeps rely on, and why."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

import ray
from ray._private import ray_constants, utils
from ray.autoscaler.v2.utils import is_autoscaler_v2
from ray.experimental import internal_kv
from ray.tune.execution import class_cache
from ray.util import placement_group_table


def keep_credentials_here() -> None:
    """Stops Tune from copying this process's AWS credentials into its workers' environment.

    Ray writes that environment into a log that all users of the machine can read. Workers get
    credentials from the environment of their node.
    """
    names = class_cache.ENV_VARS_TO_PROPAGATE
    names.difference_update([name for name in names if name.startswith("AWS_")])


@contextlib.contextmanager
def hidden(variable: str) -> Iterator[None]:
    """Takes a variable out of this process's environment for as long as the context lasts."""
    value = os.environ.pop(variable, None)
    try:
        yield
    finally:
        if value is not None:
            os.environ[variable] = value


def finds_running_ray() -> bool:
    """Whether a Ray on this machine runs that ``ray.init`` without an address would join."""
    return bool(utils.read_ray_address())


@contextlib.contextmanager
def on_loopback() -> Iterator[None]:
    """Makes a Ray that is started in this context listen on 127.0.0.1 alone.

    Ray does so by itself on systems where it forms no clusters; one constant and one environment
    variable, which its processes inherit, say whether this is such a system.
    """
    name = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
    forms_clusters, variable = ray_constants.ENABLE_RAY_CLUSTER, os.environ.get(name)
    ray_constants.ENABLE_RAY_CLUSTER, os.environ[name] = False, "0"
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = forms_clusters
        if variable is None:
            del os.environ[name]
        else:
            os.environ[name] = variable


#: Variables from which Ray takes a token before it looks for the file.
_OTHER_TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


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
    with contextlib.suppress(PermissionError):  # somebody else's, who may have chosen so
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            file.chmod(0o600)


def has_placed_trials() -> bool:
    """Whether the cluster has made room for a trial of this job, so that a worker is starting."""
    job = ray.get_runtime_context().get_job_id()
    # Tune asks for room by placement groups, and their ids end with the job's.
    groups = placement_group_table().values()
    return any(g["state"] == "CREATED" and g["placement_group_id"].endswith(job) for g in groups)


def is_autoscaling() -> bool:
    """Whether the cluster adds nodes by itself: its nodes then have types from a configuration."""
    if is_autoscaler_v2(fetch_from_server=True):
        return True
    status = internal_kv._internal_kv_get("__autoscaling_status") or b"{}"
    types = (json.loads(status).get("autoscaler_report") or {}).get("node_type_mapping") or {}
    return any(not str(name).startswith(("node_", "local.")) for name in types.values())
