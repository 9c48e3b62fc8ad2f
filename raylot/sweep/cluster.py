"""The connection to a Ray cluster, and whether it can grant what trials ask for."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
from ray.util.placement_group import (
    PlacementGroup,
    placement_group,
    placement_group_table,
    remove_placement_group,
)

from raylot.config import SweepOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.text import one_line
from raylot.sweep import ray_internals
from raylot.sweep.watch import Watch

#: Seconds that the nodes of a cluster may take to join it after its head.
_LATE_NODES = 20.0

#: Characters of an error's text that are shown.
_LONGEST_REASON = 300

#: What stands in the errors of a cluster that asks for a token, somewhere among their causes.
_AUTHENTICATION = re.compile("AuthenticationError|InvalidAuthToken|RAY_AUTH_TOKEN")

_WHERE_TOKENS_ARE = (
    "set RAY_AUTH_MODE=token, and have the cluster's token in ~/.ray/auth_token, in the file "
    "RAY_AUTH_TOKEN_PATH, or in RAY_AUTH_TOKEN"
)

#: Where an object store is, for the workers; whose credentials they are is each node's own affair.
_FORWARDED = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION")


class StartError(RuntimeError):
    """A Ray of one's own did not come up."""


@contextlib.contextmanager
def ray_session(
    options: SweepOptions,
    watch: Watch | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[None]:
    """Connects to Ray, or starts it, and undoes that; a session that is open already is used.

    Args:
        options: where, and what a trial asks for.
        watch: looks after the connection.
        say: tells the user what is waited for.

    Raises:
        OptionError: it cannot be reached, or can never grant what a trial asks for.
        StartError: it could not be started.
    """
    # `Progress` shows what is going on; Tune's own reports would garble it.
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    # `Watch` ends a sweep at once; Tune's own handler first waits for the steps under way.
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    for name in ("ray.tune", "ray.train"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    ray_internals.keep_credentials_here()
    is_ours = not ray.is_initialized()
    try:
        if is_ours:
            # Half-started, Ray would leave processes behind, and crash this one as it ends.
            with watch.held() if watch else contextlib.nullcontext():
                _connect(options)
        if watch:
            watch.listen()
            watch.watch_cluster()
        _check_resources(options, say, is_local=is_ours and _address(options) in ("", "local"))
        yield
    finally:
        if watch:
            watch.leave_cluster()
        if is_ours and ray.is_initialized():
            ray.shutdown()


def check_address(options: SweepOptions) -> None:
    """Makes sure that something answers where the cluster should be.

    Ray itself tries for minutes.

    Raises:
        OptionError: nothing does.
    """
    address = _address(options)
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if host and port.isdigit():
            socket.create_connection((host, int(port)), timeout=10).close()
        if address.startswith("ray://"):
            raise ValueError("Ray Client cannot run sweeps; submit them with ray job submit")
    except (OSError, OverflowError, ValueError) as error:
        raise _unreachable(options, error) from None


def _connect(options: SweepOptions) -> None:
    environment = _runtime_environment(options)
    address = _address(options)
    starts_ray = address == "local" or (not address and not ray_internals.finds_running_ray())
    try:
        with ray_internals.on_loopback() if starts_ray else contextlib.nullcontext():
            if starts_ray:
                ray_internals.protect_token()
            ray.init(
                address=options.address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env=environment or None,
            )
    except Exception as error:  # of any type, if one of Ray's processes is killed as it starts
        if _address(options) in ("", "local") and not _asks_for_a_token(error):
            raise StartError(
                f"Ray could not be started: {one_line(error, _LONGEST_REASON)}"
            ) from None
        raise _unreachable(options, error) from None


def _runtime_environment(options: SweepOptions) -> dict[str, Any]:
    """What workers need that may not be on their nodes: this package, and where the storage is.

    Within a submitted job Ray adds it to the job's own environment, which must not name the same.
    """
    job = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR") or "{}").get("runtime_env") or {}
    environment: dict[str, Any] = {}
    if _address(options) not in ("", "local") and not job.keys() & {"working_dir", "py_modules"}:
        environment["py_modules"] = [str(Path(__file__).parents[1])]
    given = {name: os.environ[name] for name in _FORWARDED if name in os.environ}
    # Ray writes these variables into a log that all users of the machine can read.
    forwarded = {
        name: value
        for name, value in given.items()
        if name not in (job.get("env_vars") or {}) and "@" not in value
    }
    if forwarded:
        environment["env_vars"] = forwarded
    return environment


def _address(options: SweepOptions) -> str:
    return options.address or os.environ.get("RAY_ADDRESS", "")


def _unreachable(options: SweepOptions, error: Exception) -> OptionError:
    reason = one_line(error, _LONGEST_REASON)
    if _asks_for_a_token(error):
        reason = "it asks for another token than is here: " + _WHERE_TOKENS_ARE
    return OptionError(
        f"address={_address(options) or None}: must be the address of a Ray cluster that can be "
        f"reached ({reason})"
    )


def _asks_for_a_token(error: Exception) -> bool:
    return bool(_AUTHENTICATION.search("".join(traceback.format_exception(error))))


def _check_resources(options: SweepOptions, say: Callable[[str], None], is_local: bool) -> None:
    wanted = {"CPU": options.cpus_per_trial, "GPU": options.gpus_per_trial}
    names = {"CPU": "cpus_per_trial", "GPU": "gpus_per_trial"}
    alive = _alive_nodes()
    if _one_holds(wanted, alive):
        return
    if not is_local:  # its nodes may still be on their way
        give_up = time.monotonic() + min(_LATE_NODES, options.node_patience)
        while time.monotonic() < give_up:
            time.sleep(0.5)
            if _one_holds(wanted, alive := _alive_nodes()):
                return
    if ray_internals.is_autoscaling():
        say("waiting for the cluster to add a node that can hold a trial")
        if _is_granted(wanted, options.node_patience):
            return
        raise OptionError(
            f"node_patience={options.node_patience:g}: must be long enough for the cluster to add "
            f"a node for a trial with cpus_per_trial={options.cpus_per_trial:g} and "
            f"gpus_per_trial={options.gpus_per_trial:g}, if it can"
        )
    if wanted["GPU"] and not any(node.get("GPU") for node in alive):
        at_fault = f"gpus_per_trial={options.gpus_per_trial:g}: must be 0"
        if getattr(options, "device", "auto") == "cuda":  # a study has it
            at_fault = "device=cuda: must be auto or cpu, and gpus_per_trial 0"
        raise OptionError(f"{at_fault}, as no node of this cluster has a GPU")
    for name, n in wanted.items():
        largest = max((node.get(name, 0.0) for node in alive), default=0.0)
        if n > largest:
            raise OptionError(
                f"{names[name]}={n:g}: must be at most {largest:g}, "
                f"the most {name}s that one node of this cluster has"
            )
    most = max(node.get("CPU", 0.0) for node in alive if node.get("GPU", 0) >= wanted["GPU"])
    raise OptionError(
        f"cpus_per_trial={options.cpus_per_trial:g}: must be at most {most:g}, the most CPUs that "
        f"one node with {options.gpus_per_trial:g} GPUs has"
    )


def _alive_nodes() -> list[dict[str, float]]:
    """The resources of each node of the cluster."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _one_holds(wanted: dict[str, float], nodes: list[dict[str, float]]) -> bool:
    return any(all(node.get(name, 0) >= n for name, n in wanted.items()) for node in nodes)


def _is_granted(wanted: dict[str, float], patience: float) -> bool:
    """Asks the cluster for room for one trial, as Tune will; whether it was made in time."""
    group = placement_group([{name: n for name, n in wanted.items() if n}])
    give_up = time.monotonic() + patience
    try:
        while not group.wait(5):
            if time.monotonic() > give_up:
                return False
        return True
    finally:
        remove_placement_group(group)


@contextlib.contextmanager
def room_given_back() -> Iterator[None]:
    """Takes back at the end what Tune has reserved since, if the user's own Ray goes on.

    An interrupted experiment leaves its workers and their resources behind, and the next one in the
    same Ray would wait for these for ever.
    """
    before = _reserved()
    try:
        yield
    finally:
        for group in _reserved() - before:
            identity = ray.PlacementGroupID(bytes.fromhex(group))
            remove_placement_group(PlacementGroup(identity))


def _reserved() -> set[str]:
    """Ids of the placement groups of this process's job, by which Tune reserves resources."""
    if not ray.is_initialized():
        return set()
    job = ray.get_runtime_context().get_job_id()
    groups = {id: group["state"] for id, group in placement_group_table().items()}
    return {id for id, state in groups.items() if id.endswith(job) and state != "REMOVED"}
