"""The connection to a Ray cluster, and whether it can grant what trials ask for."""

from __future__ import annotations

import contextlib
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
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group

from raylot.config import SweepOptions
from raylot.foundation.errors import OptionError
from raylot.foundation.text import one_line
from raylot.sweep.interrupt_guard import InterruptGuard
from raylot.sweep.ray_start import RayStart
from raylot.trials import ray_internals

#: Seconds that the nodes of a cluster may take to join it after its head.
_LATE_NODES = 20.0

#: Characters of an error's text that are shown.
_LONGEST_REASON = 300

#: A name in the error of a cluster that asks for a token, or in one of the error's causes.
_AUTHENTICATION = re.compile("AuthenticationError|InvalidAuthToken|RAY_AUTH_TOKEN")

_WHERE_TOKENS_ARE = (
    "set RAY_AUTH_MODE=token, and have the cluster's token in ~/.ray/auth_token, in the file "
    "RAY_AUTH_TOKEN_PATH, or in RAY_AUTH_TOKEN"
)

#: Variables that tell workers where an object store is; each node has credentials of its own.
_FORWARDED = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION")


#: What workers import, which takes seconds.
_OF_TRIALS = ("raylot.trials.trainable", "raylot.trials.kinds")


class StartError(RuntimeError):
    """Ray could not be started on this machine."""


@contextlib.contextmanager
def ray_session(
    options: SweepOptions,
    guard: InterruptGuard | None = None,
    say: Callable[[str], None] = lambda line: None,
    start: RayStart | None = None,
) -> Iterator[None]:
    """Connects to Ray or starts it, and disconnects at the end; leaves an open session open.

    Args:
        options: where, and what a trial asks for.
        guard: ends the process if the connection is lost.
        say: tells the user what the session waits for.
        start: of the Ray, if it has begun.

    Raises:
        OptionError: the cluster cannot be reached, or can never grant what a trial asks for.
        StartError: Ray could not be started.
    """
    from raylot.trials import tune_internals  # not at the top: Ray starts before Tune is imported

    tune_internals.keep_credentials_here()
    if start is None and not ray.is_initialized():
        start = RayStart(options, trials=0)
    with ray_internals.terminal_and_signals_left_alone():
        try:
            if start:
                start.wait()
            if guard:
                guard.watch_cluster()
            is_local = start is not None and _address(options) in ("", "local")
            _check_resources(options, say, is_local=is_local)
            yield
        finally:
            if guard:
                guard.leave_cluster()
            if start:
                start.leave()


def check_address(options: SweepOptions) -> None:
    """Checks at once that a process listens at the cluster's address; Ray tries for minutes.

    Raises:
        OptionError: no process listens there.
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


def connect(options: SweepOptions, trials: int) -> None:
    """Joins Ray, or starts it on this machine; see `RayStart`.

    Raises:
        OptionError: the cluster cannot be reached.
        StartError: Ray could not be started.
    """
    environment = _runtime_environment(options)
    address = _address(options)
    starts_ray = address == "local" or (not address and not ray_internals.finds_running_ray())
    try:
        with contextlib.ExitStack() as only_here:
            if starts_ray:
                only_here.enter_context(ray_internals.on_loopback())
                only_here.enter_context(ray_internals.without_unused_processes())
                ray_internals.protect_token()
                if trials > _cores() / 2:
                    only_here.enter_context(ray_internals.workers_import(_OF_TRIALS))
            own = _cores()  # Ray by itself counts those that a job scheduler granted to others too
            ray.init(
                address=options.address,
                num_cpus=own if starts_ray and own < (os.cpu_count() or 1) else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env=environment or None,
                # Takes seconds to start; whoever wants one starts Ray with `ray start --head`.
                include_dashboard=False if starts_ray else None,
            )
    except Exception as error:  # of any type, if one of Ray's processes is killed as it starts
        if _address(options) in ("", "local") and not _asks_for_a_token(error):
            raise StartError(
                f"Ray could not be started: {one_line(error, _LONGEST_REASON)}"
            ) from None
        raise _unreachable(options, error) from None


def _runtime_environment(options: SweepOptions) -> dict[str, Any]:
    """Returns what workers' nodes may lack: this package, and where the storage is.

    Within a submitted job, Ray adds it to the job's own environment and refuses a name that both
    have.
    """
    job = ray_internals.job_environment()
    environment: dict[str, Any] = {}
    if _address(options) not in ("", "local") and not job.keys() & {"working_dir", "py_modules"}:
        environment["py_modules"] = [str(Path(__file__).parents[1])]
    names = [name for name in _FORWARDED if name not in (job.get("env_vars") or {})]
    given = {name: os.environ[name] for name in names if name in os.environ}
    # Ray writes these variables into a log that all users of the machine can read.
    if forwarded := {name: value for name, value in given.items() if "@" not in value}:
        environment["env_vars"] = forwarded
    return environment


def _cores() -> int:
    """Returns how many of this machine's cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1


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
    # Some nodes of a cluster may still be joining.
    give_up = time.monotonic() + (0 if is_local else min(_LATE_NODES, options.node_patience))
    while True:
        nodes = alive_nodes()
        if any(_holds(node, wanted) for node in nodes):
            return
        if time.monotonic() >= give_up:
            break
        time.sleep(0.5)
    trial = f"cpus_per_trial={wanted['CPU']:g} and gpus_per_trial={wanted['GPU']:g}"
    if ray_internals.is_autoscaling():
        say("waiting for the cluster to add a node that can hold a trial")
        if _is_granted(wanted, options.node_patience):
            return
        raise OptionError(
            f"node_patience={options.node_patience:g}: must be long enough for the cluster to add "
            f"a node for a trial with {trial}, if it can"
        )
    there = {f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes}
    has_gpus = any(_holds(node, {"GPU": wanted["GPU"]}) for node in nodes)
    name = "gpus" if wanted["GPU"] and not has_gpus else "cpus"
    raise OptionError(
        f"{name}_per_trial={getattr(options, f'{name}_per_trial'):g}: must fit on one node of this "
        f"cluster, with {trial}; its nodes have {', '.join(sorted(there)) or 'nothing'}"
    )


def alive_nodes() -> list[dict[str, float]]:
    """Returns the resources of each node of the cluster."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _holds(node: dict[str, float], wanted: dict[str, float]) -> bool:
    return all(node.get(name, 0) >= n for name, n in wanted.items())


def _is_granted(wanted: dict[str, float], patience: float) -> bool:
    """Asks the cluster for room for one trial, as Tune will; returns whether it came in time."""
    group = placement_group([{name: n for name, n in wanted.items() if n}])
    give_up = time.monotonic() + patience
    try:
        while not group.wait(1):
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
    before = ray_internals.placement_groups()
    try:
        yield
    finally:
        for group in ray_internals.placement_groups().keys() - before:
            identity = ray.PlacementGroupID(bytes.fromhex(group))
            remove_placement_group(PlacementGroup(identity))
